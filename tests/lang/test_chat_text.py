"""Conversations grow by appending, and are what the template makes of the whole."""

from __future__ import annotations

import pytest

from sglite.errors import RequestError
from sglite.lang.chat_text import ChatText
from tests.lang.fake_backend import chatml

TURNS = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Bye")]


def say(chat, role, content):
    chat.begin(role)
    chat.text += content
    chat.end(role)


def with_default_system(messages, add_generation_prompt):
    if not messages or messages[0]["role"] != "system":
        messages = [{"role": "system", "content": "You are a model."}, *messages]
    return chatml(messages, add_generation_prompt)


def without_old_thoughts(messages, add_generation_prompt):
    """As Qwen3: an empty thought in the last answer, none in earlier ones."""
    parts = []
    for number, each in enumerate(messages):
        is_last = number == len(messages) - 1 and each["role"] == "assistant"
        content = each["content"].rpartition("</think>")[2]
        parts.append(f"<{each['role']}>{'<think></think>' if is_last else ''}{content}</>\n")
    return "".join(parts) + ("<assistant>" if add_generation_prompt else "")


def with_separators(messages, add_generation_prompt):
    """The last message ends without the separator that stands between messages."""
    rendered = "|".join(f"{each['role']}:{each['content']}" for each in messages)
    return rendered + ("|assistant:" if add_generation_prompt else "$")


@pytest.mark.parametrize("template", [chatml, with_default_system])
def test_text_is_the_templates_prompt_at_every_step(template):
    chat = ChatText(template)
    said = []
    for role, content in TURNS:
        if role == "assistant":
            chat.begin("assistant")
            assert chat.text == template(said, True)
            chat.text += content
            chat.end("assistant")
        else:
            say(chat, role, content)
        said.append({"role": role, "content": content})
        assert chat.text == template(said, False)
    assert chat.messages == said
    assert chat.is_rendered


def test_what_was_said_stays_where_a_template_drops_it_later():
    chat = ChatText(without_old_thoughts)
    say(chat, "user", "Hi")
    say(chat, "assistant", "<think>Hm.</think>Hello")
    before = chat.text
    say(chat, "user", "Bye")
    assert chat.text.startswith(before)
    assert chat.text.endswith("</>\n<user>Bye</>\n")
    assert chat.messages[1]["content"] == "<think>Hm.</think>Hello"


def test_an_ending_that_changes_before_a_next_message_is_replaced():
    chat = ChatText(with_separators)
    say(chat, "user", "Hi")
    assert chat.text == "user:Hi$"
    say(chat, "assistant", "Hello")
    say(chat, "user", "Bye")
    assert chat.text == "user:Hi|assistant:Hello|user:Bye$"


def test_text_outside_of_messages_stays_in_its_place():
    chat = ChatText(chatml)
    chat.text += "before "
    assert not chat.is_rendered
    say(chat, "user", "Hi")
    chat.text += "between "
    say(chat, "assistant", "Hello")
    assert chat.text == "before <user>Hi</>\nbetween <assistant>Hello</>\n"
    assert [each["content"] for each in chat.messages] == ["Hi", "Hello"]


def test_a_copy_goes_its_own_way():
    chat = ChatText(chatml)
    chat.begin("user")
    chat.text += "Hi"
    twin = chat.copy()
    twin.text += " there"
    twin.end("user")
    chat.end("user")
    assert (chat.text, twin.text) == ("<user>Hi</>\n", "<user>Hi there</>\n")
    assert (len(chat.messages), len(twin.messages)) == (1, 1)


def test_messages_neither_nest_nor_end_twice():
    chat = ChatText(chatml)
    with pytest.raises(RequestError, match="none is open"):
        chat.end("user")
    chat.begin("user")
    with pytest.raises(RequestError, match="inside of one of user"):
        chat.begin("assistant")
    with pytest.raises(RequestError, match="but user is open"):
        chat.end("assistant")


def test_a_template_that_hides_a_message_is_named():
    def template(messages, add_generation_prompt):
        return chatml([each for each in messages if each["role"] != "system"], False)

    with pytest.raises(RequestError, match="message of system as it is"):
        ChatText(template).begin("system")
