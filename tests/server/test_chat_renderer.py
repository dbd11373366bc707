"""Chats are rendered in a process that can be ended, and is replaced."""

import asyncio
import os
import signal

import pytest

from sglite.errors import RequestError
from sglite.server.chat_renderer import ChatRenderer
from sglite.tokenizer.chat_template import PlannedChat

ECHO = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{{ bos_token }}"
ENDLESS = (
    "{% for a in range(90000) %}{% for b in range(90000) %}{% if b < 0 %}x{% endif %}"
    "{% endfor %}{% endfor %}"
)
HUNGRY = (
    "{% set ns = namespace(all=[]) %}{% for a in range(90000) %}"
    "{% set ns.all = ns.all + ['x' * 100000] %}{% endfor %}"
)
REFUSING = "{{ raise_exception('roles must alternate') }}"


def chat(content="hello", template="default"):
    messages = [{"role": "user", "content": content}]
    return PlannedChat(template, messages, variables={"bos_token": "^"})


def run(scenario, source=ECHO, **settings):
    async def main():
        renderer = ChatRenderer({"default": source, "echo": ECHO}, **settings)
        try:
            await asyncio.wait_for(scenario(renderer), 60)
        finally:
            await renderer.stop()
            assert renderer.pid is None

    asyncio.run(main())


def test_the_prompt_is_that_of_the_template():
    async def scenario(renderer):
        await renderer.start()
        pid = renderer.pid
        for text in ("hello", "多字节 \U0001f600", "x" * 300_000):
            assert await renderer.render(chat(text)) == f"<user>{text}^"
        assert renderer.pid == pid

    run(scenario)


def test_chats_of_one_moment_get_their_own_prompts():
    async def scenario(renderer):
        prompts = await asyncio.gather(*(renderer.render(chat(f"{n}")) for n in range(20)))
        assert prompts == [f"<user>{n}^" for n in range(20)]

    run(scenario)


def test_what_the_template_refuses_names_the_field():
    async def scenario(renderer):
        with pytest.raises(RequestError, match="roles must alternate") as refused:
            await renderer.render(chat())
        assert refused.value.param == "messages"
        assert await renderer.render(chat(template="echo")) == "<user>hello^"

    run(scenario, REFUSING)


def test_one_that_takes_too_long_is_ended_and_the_next_chat_goes_on():
    async def scenario(renderer):
        await renderer.start()
        pid = renderer.pid
        with pytest.raises(RequestError, match="takes longer than 0.5 s"):
            await renderer.render(chat())
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert await renderer.render(chat(template="echo")) == "<user>hello^"

    run(scenario, ENDLESS, timeout_s=0.5)


def test_one_that_takes_too_much_memory_is_refused():
    async def scenario(renderer):
        with pytest.raises(RequestError) as refused:
            await renderer.render(chat())
        assert refused.value.param == "messages"
        assert await renderer.render(chat(template="echo")) == "<user>hello^"

    run(scenario, HUNGRY, max_memory_bytes=400 << 20, timeout_s=30.0)


def test_a_process_that_was_killed_is_replaced():
    async def scenario(renderer):
        await renderer.start()
        pid = renderer.pid
        os.kill(pid, signal.SIGKILL)
        prompts = await asyncio.gather(
            renderer.render(chat("a")), renderer.render(chat("b")), return_exceptions=True
        )
        assert all(isinstance(each, RequestError) or each.endswith("^") for each in prompts)
        assert await renderer.render(chat("c")) == "<user>c^"
        assert renderer.pid != pid

    run(scenario)


def test_a_caller_who_leaves_does_not_leave_an_answer_to_the_next():
    async def scenario(renderer):
        await renderer.start()
        left = asyncio.ensure_future(renderer.render(chat("mine" * 50_000)))
        await asyncio.sleep(0)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert await renderer.render(chat("yours")) == "<user>yours^"

    run(scenario)
