"""The pieces that are trained on, against the template that the engine renders."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from tokenizers import Tokenizer

from sglite.tokenizer.chat_template import ChatTemplate, PlannedChat
from tests.training.drawing import documents_of_every_skill, draws
from training.chat_format import (
    CHAT_TEMPLATE,
    Document,
    answer_text,
    document_pieces,
    prompt_text,
)
from training.examples import assistant, system, user
from training.make_corpus import document_of, documents
from training.tokenizer import END_OF_TEXT, TURN_END

TEMPLATE = ChatTemplate(CHAT_TEMPLATE)
LONDON = {"type": "function", "function": {"name": "weather", "arguments": {"city": "London"}}}
SAO_PAULO = {
    "type": "function",
    "function": {"name": "weather", "arguments": {"city": "São Paulo"}},
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather, <now> & \"here\" in 'Århus'.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
BY_HAND: list[Document] = [
    {"messages": [user("Hi"), assistant("Hello! 你好")]},
    {"messages": [system("Be brief."), user("Hi"), assistant("Hello!"), user("?"), assistant("!")]},
    {"messages": [system("Be brief."), user("Hi"), assistant("No.")], "tools": [WEATHER, WEATHER]},
    {
        "messages": [
            user("London and São Paulo?"),
            {"role": "assistant", "content": "I look.", "tool_calls": [LONDON, SAO_PAULO]},
            {"role": "tool", "content": '{"sky": "grey"}'},
            {"role": "tool", "content": "blue"},
            assistant("Grey and blue."),
            user("And now?"),
            {"role": "assistant", "content": "", "tool_calls": [LONDON, SAO_PAULO]},
        ],
        "tools": [WEATHER],
    },
]


def joined(document: Document) -> str:
    return "".join(piece.text for piece in document_pieces(document))


def rendered(document: Document, **options: Any) -> str:
    """What the engine makes of the document's messages."""
    messages = options.pop("messages", document["messages"])
    variables = options.pop("variables", None) or {}
    chat = PlannedChat("default", messages, document.get("tools"), variables=variables)
    return TEMPLATE.render(dataclasses.replace(chat, **options))


def chats() -> list[Document]:
    """Documents of every skill that are conversations, some of them long."""
    found = [*BY_HAND, *documents_of_every_skill(), *documents(0, 300)]
    return [document for document in found if "messages" in document]


def test_pieces_join_to_what_the_engine_renders() -> None:
    checked = [document for document in chats() if document.get("thought") is None]
    for document in checked:
        assert joined(document) == rendered(document, add_generation_prompt=False)
    assert any(document.get("tools") for document in checked)
    assert any(each["role"] == "tool" for one in checked for each in one["messages"])


def test_a_prompt_is_what_the_engine_renders_for_the_messages_before_the_answer() -> None:
    num_thinking = 0
    for document in chats():
        is_thinking = document.get("thought") is not None
        num_thinking += is_thinking
        prompt = rendered(
            document,
            messages=document["messages"][:-1],
            variables={"enable_thinking": True} if is_thinking else None,
        )
        assert prompt == prompt_text(document)
        assert joined(document) == f"{prompt}{answer_text(document)}{TURN_END}\n"
    assert num_thinking > 10


def test_transformers_renders_the_same(tokenizer: Tokenizer) -> None:
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=CHAT_TEMPLATE)
    for document in chats():
        prompt = theirs.apply_chat_template(
            document["messages"][:-1],
            tools=document.get("tools"),
            add_generation_prompt=True,
            tokenize=False,
            **({} if document.get("thought") is None else {"enable_thinking": True}),
        )
        assert prompt == prompt_text(document)


def test_the_next_prompt_starts_with_the_last_one_and_its_answer() -> None:
    for document in chats():
        if document.get("thought") is not None:
            continue
        seen = prompt_text(document) + answer_text(document) + TURN_END
        last = {"role": "assistant", "content": answer_text(document)}
        history = [*document["messages"][:-1], last, user("And then?")]
        assert rendered(document, messages=history).startswith(seen)


def test_a_call_handed_back_as_a_structure_reads_as_it_was_generated() -> None:
    num_calls = 0
    for example in draws("tool_calls")[:300]:
        if not example.answer.startswith("<tool_call>\n"):
            continue
        num_calls += 1
        called = json.loads(example.answer.removeprefix("<tool_call>\n").split("\n</tool_call>")[0])
        call = {"type": "function", "function": called}
        last = {"role": "assistant", "content": None, "tool_calls": [call]}
        document = document_of(example)
        history = [*example.messages, last, {"role": "tool", "content": "ok"}]
        seen = prompt_text(document) + answer_text(document) + TURN_END
        assert rendered(document, messages=history).startswith(seen)
    assert num_calls > 100


@pytest.mark.parametrize("arguments", [{"city": "São Paulo"}, '{"city": "São Paulo"}'])
def test_arguments_may_be_an_object_or_its_text(arguments: object) -> None:
    call = {"type": "function", "function": {"name": "weather", "arguments": arguments}}
    messages = [user("?"), {"role": "assistant", "content": "", "tool_calls": [call]}]
    text = '<tool_call>\n{"name": "weather", "arguments": {"city": "São Paulo"}}\n</tool_call>'
    assert text in TEMPLATE.render(PlannedChat("default", messages))


def test_thoughts_of_earlier_turns_are_dropped() -> None:
    thinking = assistant("<think>\nA greeting.\n</think>\n\nHello!")
    plain = [user("Hi"), assistant("Hello!"), user("Bye")]
    thought = PlannedChat("default", [user("Hi"), thinking, user("Bye")])
    assert TEMPLATE.render(thought) == TEMPLATE.render(PlannedChat("default", plain))


def test_only_answers_and_their_ends_are_learnt() -> None:
    learnt = [piece.text for piece in document_pieces(BY_HAND[1]) if piece.is_learnt]
    assert learnt == ["Hello!<|im_end|>", "!<|im_end|>"]
    thinking: Document = {"messages": [user("Hi"), assistant("Hello!")], "thought": "Polite."}
    assert [piece.text for piece in document_pieces(thinking)] == [
        "<|im_start|>user\nHi<|im_end|>\n",
        "<|im_start|>assistant\n<think>\n",
        "Polite.\n</think>\n\nHello!<|im_end|>",
        "\n",
    ]


def test_a_text_is_continued_without_a_template() -> None:
    document: Document = {"text": "17 + 25 =", "completion": " 42."}
    assert [piece.text for piece in document_pieces(document)] == [
        "17 + 25 =",
        f" 42.{END_OF_TEXT}",
    ]
    assert (prompt_text(document), answer_text(document)) == ("17 + 25 =", " 42.")
