"""What the process for chat templates answers."""

from sglite.server.render_process import render
from sglite.tokenizer.chat_template import ChatTemplate, PlannedChat

CHAT = PlannedChat("default", [{"role": "user", "content": "hi"}])


class Greedy:
    def render(self, chat):
        raise MemoryError


def test_a_prompt_or_why_there_is_none():
    templates = {"default": ChatTemplate("{{ messages[0].content }}!")}
    assert render(templates, CHAT).prompt == "hi!"
    refused = render({"default": ChatTemplate("{{ raise_exception('no') }}")}, CHAT)
    assert (refused.prompt, refused.param) == ("", "messages")
    assert "no" in refused.error


def test_a_lack_of_memory_is_told():
    refused = render({"default": Greedy()}, CHAT)
    assert "memory" in refused.error and refused.param == "messages"
