"""Choices are scored in one call, after what they share; models are told from each other."""

from __future__ import annotations

import pytest

from sglite import lang
from sglite.errors import ConfigError, RequestError, SgliteError
from sglite.lang.backend import Prompt, as_backend, checked_meta_info, decide
from tests.lang.fake_backend import BOS, FakeBackend

PLAIN = Prompt("Q: ", False)
METHOD = lang.token_length_normalized


class Merging(FakeBackend):
    """A space and the letter behind it are one token."""

    def encode(self, texts, *, add_special_tokens):
        joined = [text.replace(" a", "Ā").replace(" b", "Ƃ") for text in texts]
        return super().encode(joined, add_special_tokens=add_special_tokens)


def test_all_choices_go_in_one_call_after_the_same_prefix():
    backend = FakeBackend(order="yn")
    decision = decide(backend, PLAIN, ("no", "yy"), METHOD)
    assert decision.choice == "yy"
    prefix = [BOS, *map(ord, "Q: ")]
    assert backend.scored == [
        ([[*prefix, *map(ord, "no")], [*prefix, *map(ord, "yy")]], len(prefix) - 1)
    ]
    assert decision.meta_info["input_token_logprobs"] == [[-1.0, -9.0], [0.0, 0.0]]


def test_a_rendered_prompt_gets_no_second_bos():
    backend = FakeBackend(order="y")
    decide(backend, Prompt("Q: ", True), ("no", "yes"), METHOD)
    (sequences, start_len) = backend.scored[0]
    assert sequences[0][:3] == [ord(character) for character in "Q: "]
    assert start_len == 2


def test_a_token_that_spans_the_border_is_scored_whole():
    backend = Merging(order="Ƃ")
    assert decide(backend, PLAIN, ("a", "b"), METHOD).choice == "b"
    prefix = [BOS, ord("Q"), ord(":")]
    assert backend.scored == [([[*prefix, ord("Ā")], [*prefix, ord("Ƃ")]], len(prefix) - 1)]


def test_a_border_is_kept_where_nothing_else_would_be_left():
    backend = Merging(order="b")
    assert decide(backend, Prompt(" ", True), ("a", "b"), METHOD).choice == "b"
    assert backend.scored == [([[ord(" "), ord("a")], [ord(" "), ord("b")]], 0)]


def test_unconditional_scores_are_asked_for_where_they_are_needed():
    backend = FakeBackend(order="y")
    decide(backend, PLAIN, ("no", "yes"), lang.unconditional_likelihood_normalized)
    assert backend.scored[1] == ([[ord(c) for c in "no"], [ord(c) for c in "yes"]], 0)


def test_choices_after_nothing_are_refused():
    with pytest.raises(RequestError, match="empty"):
        decide(FakeBackend(), Prompt("", True), ("a", "b"), METHOD)


def test_a_backend_is_itself_and_nothing_is_named():
    backend = FakeBackend()
    assert as_backend(backend) is backend
    with pytest.raises(ConfigError, match="got none"):
        as_backend(None)
    with pytest.raises(ConfigError, match="got a dict"):
        as_backend({})


def test_an_aborted_answer_is_a_failure():
    assert checked_meta_info({"finish_reason": {"type": "stop"}})
    assert checked_meta_info({"finish_reason": None}), "an answer that has not ended"
    with pytest.raises(SgliteError, match="cut off: too slow"):
        checked_meta_info({"finish_reason": {"type": "abort", "message": "too slow"}})
