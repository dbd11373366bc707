"""Chats become token ids the same way here and in the process for chat templates."""

import asyncio

import pytest

from sglite.errors import RequestError
from sglite.server.chat_encoding import encode_chat, encode_rendered, num_characters, render_chat
from tests.server.fake_engine import make_front

CHAT = [{"role": "user", "content": "What is a radix tree?"}]


class Recorder:
    """A renderer that notes what it is given."""

    def __init__(self):
        self.chats = []

    async def render(self, chat):
        self.chats.append(chat)
        return "rendered elsewhere"

    async def stop(self):
        return None


def test_without_a_renderer_chats_are_rendered_here():
    async def main():
        front = make_front()
        ids = await encode_chat(front, CHAT, add_generation_prompt=True)
        assert ids == front.tokenizer.encode_chat(CHAT)
        assert await encode_chat(front, CHAT, add_generation_prompt=False) != ids
        prompt = await render_chat(front, CHAT)
        assert prompt == front.tokenizer.render_chat(CHAT)
        assert await encode_rendered(front, prompt) == ids

    asyncio.run(main())


def test_a_renderer_gets_checked_plain_data():
    async def main():
        front = make_front()
        front.renderer = Recorder()
        ids = await encode_chat(front, CHAT, template_kwargs={"enable_thinking": True})
        assert front.tokenizer.decode(ids) == "rendered elsewhere"
        (chat,) = front.renderer.chats
        assert chat.messages[0]["content"] == CHAT[0]["content"]
        assert chat.variables["enable_thinking"] is True

    asyncio.run(main())


@pytest.mark.parametrize(
    ("messages", "options"),
    [
        ("no list", {}),
        ([{"role": "nobody", "content": "x"}], {}),
        ([{"role": "user", "content": "x" * 64 * 2_048 + "y"}], {}),
        (CHAT, {"template_kwargs": {"messages": []}}),
    ],
)
def test_what_cannot_be_a_chat_is_refused_before_it_is_rendered(messages, options):
    async def main():
        front = make_front()
        front.renderer = Recorder()
        with pytest.raises(RequestError):
            await encode_chat(front, messages, **options)
        assert not front.renderer.chats

    asyncio.run(main())


def test_num_characters_counts_all_strings():
    assert num_characters([{"role": "user", "content": [{"text": "abc"}]}, None]) == 4 + 3 + 8
