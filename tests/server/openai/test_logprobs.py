from __future__ import annotations

import math

import pytest

from sglite.request import TokenLogprobs
from sglite.server.openai.logprobs import (
    LEAST_LOGPROB,
    CompletionLogprobs,
    PromptOffsets,
    TextOffsets,
    chat_logprobs,
    join_columns,
    token_name,
)
from tests.fakes_text import ByteTokenizer

BOS, EOS = 256, 257


@pytest.fixture(scope="module")
def tokenizer() -> ByteTokenizer:
    return ByteTokenizer()


def entries(*token_ids: int, top: tuple = ()) -> list[TokenLogprobs]:
    return [TokenLogprobs(token_id, -1.0, top) for token_id in token_ids]


def output_offsets(tokenizer: ByteTokenizer, text: str, start: int = 0) -> list[int]:
    offsets = TextOffsets(tokenizer, start=start, skip_special_tokens=True)
    return [offsets.take(token_id) for token_id in text.encode()]


def prompt_offsets(tokenizer: ByteTokenizer, ids: list[int], text: str) -> list[int]:
    offsets = PromptOffsets(tokenizer, text)
    return [offsets.take(token_id) for token_id in ids]


def test_an_offset_is_where_the_token_begins_in_the_text(tokenizer):
    assert output_offsets(tokenizer, "abc") == [0, 1, 2]
    assert output_offsets(tokenizer, "abc", start=10) == [10, 11, 12]


def test_all_parts_of_a_character_have_its_offset(tokenizer):
    assert output_offsets(tokenizer, "a€b") == [0, 1, 1, 1, 2]


def test_a_token_that_is_not_shown_takes_no_room(tokenizer):
    offsets = TextOffsets(tokenizer, start=0, skip_special_tokens=True)
    assert [offsets.take(token_id) for token_id in (97, EOS, 98)] == [0, 1, 1]


def test_a_shown_special_token_has_its_length(tokenizer):
    offsets = TextOffsets(tokenizer, start=0, skip_special_tokens=False)
    assert [offsets.take(token_id) for token_id in (97, EOS, 98)] == [0, 1, 1 + len("<eos>")]


def test_a_bos_that_the_tokenizer_added_takes_no_room_and_a_spelled_one_does(tokenizer):
    assert prompt_offsets(tokenizer, [BOS, 97, 98], "ab") == [0, 0, 1]
    assert prompt_offsets(tokenizer, [BOS, 97, 98], "<bos>ab") == [0, 5, 6]


def test_offsets_of_a_prompt_stay_within_its_text(tokenizer):
    assert prompt_offsets(tokenizer, [97, 98, 99], "a") == [0, 1, 1]


def test_without_a_tokenizer_there_are_ids_and_no_offsets():
    columns = CompletionLogprobs(None, num_top=0).output(entries(5, 6))
    assert columns["tokens"] == ["token_id:5", "token_id:6"]
    assert columns["text_offset"] == [0, 0]


def test_half_a_character_is_named_by_its_bytes(tokenizer):
    assert token_name(tokenizer, 97) == "a"
    assert token_name(tokenizer, 0xE2) == "bytes:\\xe2"


def test_the_taken_token_is_among_the_top_ones_even_beyond_their_number(tokenizer):
    logprobs = CompletionLogprobs(tokenizer, num_top=1)
    top = ((98, -0.5),)
    columns = logprobs.output([TokenLogprobs(97, -2.0, top), TokenLogprobs(98, -0.5, top)])
    assert columns["top_logprobs"] == [{"b": -0.5, "a": -2.0}, {"b": -0.5}]


def test_without_alternatives_top_logprobs_is_null(tokenizer):
    columns = CompletionLogprobs(tokenizer, num_top=0).output(entries(97))
    assert columns == {
        "text_offset": [0],
        "token_logprobs": [-1.0],
        "tokens": ["a"],
        "top_logprobs": None,
    }


def test_the_first_token_of_a_prompt_has_null(tokenizer):
    logprobs = CompletionLogprobs(tokenizer, num_top=1, prompt_text="ab")
    columns = logprobs.prompt([TokenLogprobs(97, None), TokenLogprobs(98, -1.0, ((98, -1.0),))])
    assert columns["token_logprobs"] == [None, -1.0]
    assert columns["top_logprobs"] == [None, {"b": -1.0}]


def test_output_begins_after_the_echoed_prompt(tokenizer):
    logprobs = CompletionLogprobs(tokenizer, num_top=0, prompt_text="ab")
    whole = join_columns(logprobs.prompt(entries(97, 98)), logprobs.output(entries(99)))
    assert whole["text_offset"] == [0, 1, 2]
    assert whole["tokens"] == ["a", "b", "c"]
    assert whole["top_logprobs"] is None


def test_a_cut_stop_string_begins_where_the_text_ends(tokenizer):
    columns = CompletionLogprobs(tokenizer, num_top=0).output(entries(97, 98, 99), text_length=1)
    assert columns["text_offset"] == [0, 1, 1]


def test_minus_infinity_is_a_number_that_json_has(tokenizer):
    lowest = [TokenLogprobs(97, -math.inf, ((98, -math.inf),))]
    columns = CompletionLogprobs(tokenizer, num_top=1).output(lowest)
    assert columns["token_logprobs"] == [LEAST_LOGPROB]
    assert columns["top_logprobs"] == [{"b": LEAST_LOGPROB, "a": LEAST_LOGPROB}]
    assert chat_logprobs(tokenizer, lowest)["content"][0]["logprob"] == LEAST_LOGPROB


def test_a_chat_shows_bytes_and_alternatives(tokenizer):
    shown = chat_logprobs(tokenizer, entries(0xE2, top=((97, -0.5),)))
    assert shown["content"] == [
        {
            "token": "\ufffd",
            "bytes": [0xE2],
            "logprob": -1.0,
            "top_logprobs": [{"token": "a", "bytes": [97], "logprob": -0.5}],
        }
    ]
