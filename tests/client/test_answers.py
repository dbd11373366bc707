"""Events become the chunks and figures that an LLM in this process would give."""

from __future__ import annotations

import pytest

from sglite.client.answers import AnswerReader
from sglite.errors import RemoteError
from sglite.request import FinishReason
from tests.client.fake_server import chat_events, completion_events


def read_all(events, num_choices=1, first_index=0):
    times = iter(range(100))
    reader = AnswerReader(num_choices, first_index, clock=lambda: float(next(times)))
    chunks = [chunk for event in events for chunk in reader.read(event)]
    return chunks, [chunk.finished for chunk in reader.finish()]


def test_chat_deltas_become_chunks_and_usage_the_figures():
    chunks, (done,) = read_all(chat_events("Hel", "lo", reasoning=("hm",)))
    assert "".join(chunk.text for chunk in chunks) == done.text == "Hello"
    assert [chunk.reasoning for chunk in chunks if chunk.reasoning] == ["hm"]
    assert (done.num_prompt_tokens, done.num_cached_tokens, done.num_output_tokens) == (9, 4, 3)
    assert done.finish_reason is FinishReason.STOP
    assert done.matched == 2
    assert done.request_id == "c1"
    assert done.ttft_s == 1.0
    assert done.e2e_s == 2.0


def test_several_choices_keep_apart_and_are_counted_by_piece():
    _, done = read_all(completion_events("a", "b", num_choices=2), 2, first_index=4)
    assert [(each.index, each.text, each.num_output_tokens) for each in done] == [
        (4, "ab", 2),
        (5, "ab", 2),
    ]
    assert done[0].finish_reason is FinishReason.LENGTH


def test_without_usage_pieces_are_counted():
    _, (done,) = read_all(completion_events("a", "b", "c"))
    assert done.num_output_tokens == 3
    assert done.num_prompt_tokens == 0


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("tool_calls", FinishReason.STOP),
        ("content_filter", FinishReason.ABORT),
        ("length", FinishReason.LENGTH),
        ("abort", FinishReason.ABORT),
    ],
)
def test_every_word_for_the_end_has_a_reason(word, reason):
    _, (done,) = read_all(chat_events("x", reason=word))
    assert done.finish_reason is reason


def test_an_answer_without_its_end_is_an_error():
    with pytest.raises(RemoteError, match="before the answer"):
        read_all(chat_events("x")[:-2])


@pytest.mark.parametrize("event", [[], "x", {"choices": [{"index": 7, "text": "a"}]}])
def test_what_openai_would_not_send_is_an_error(event):
    with pytest.raises(RemoteError):
        AnswerReader(1).read(event)
