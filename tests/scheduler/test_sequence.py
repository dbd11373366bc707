"""The counts and keys of one request."""

from __future__ import annotations

from sglite.request import FinishReason, LogprobParams, Request, SamplingParams
from sglite.scheduler.sequence import Sequence
from tests.scheduler.building import ids, make_sequence


def test_new_sequence_has_its_prompt_and_nothing_computed():
    sequence = make_sequence("abcde", max_new_tokens=7)
    assert (sequence.num_tokens, sequence.num_prompt_tokens, sequence.max_total) == (5, 5, 12)
    assert (sequence.num_computed, sequence.num_scheduled, sequence.num_output_tokens) == (0, 0, 0)


def test_token_becomes_known_and_matchable():
    sequence = make_sequence("ab")
    sequence.append_token(7)
    assert sequence.token_ids == sequence.key_ids == [*ids("ab"), 7]
    assert (sequence.num_tokens, sequence.num_output_tokens) == (3, 1)


def test_own_key_ids_grow_beside_the_tokens():
    request = Request(request_id="r", prompt_token_ids=(1, 2), key_ids=(-5, -6))
    sequence = Sequence(request, arrival_order=0, now=0.0)
    sequence.append_token(3)
    assert sequence.token_ids == [1, 2, 3]
    assert sequence.key_ids == [-5, -6, 3]


def test_samples_on_the_way_count_towards_the_bound():
    sequence = make_sequence("abc")
    sequence.num_pending = 2
    assert sequence.num_bound == 5


def test_request_is_not_changed_by_its_sequence():
    prompt = [1, 2, 3]
    request = Request(request_id="r", prompt_token_ids=prompt)
    Sequence(request, arrival_order=0, now=0.0).append_token(4)
    assert prompt == [1, 2, 3]


# -- how far a prefix may reach --------------------------------------------------------------------


def test_match_leaves_one_token_to_compute():
    assert make_sequence("abcdefgh").max_match_tokens == 7
    assert make_sequence("a").max_match_tokens == 0


def test_match_leaves_the_positions_whose_logprobs_are_wanted():
    sequence = make_sequence("abcdefgh", logprobs=LogprobParams(start_len=3))
    assert sequence.max_match_tokens == 3, "position 4 is scored by the logits at 3"
    assert make_sequence("abcd", logprobs=LogprobParams(start_len=0)).max_match_tokens == 0
    assert make_sequence("abcd", logprobs=LogprobParams()).max_match_tokens == 3


def test_sequence_that_comes_back_may_match_its_output_too():
    sequence = make_sequence("abcd")
    for token in range(6):
        sequence.append_token(token)
    assert sequence.max_match_tokens == 9


def test_sequence_that_comes_back_computes_only_the_logprobs_still_missing():
    sequence = make_sequence("abcdefgh", logprobs=LogprobParams(start_len=0))
    sequence.prompt_logprob_next = 5
    assert sequence.max_match_tokens == 4
    sequence.prompt_logprob_next = 8
    sequence.append_token(1)
    assert sequence.max_match_tokens == 8


# -- page hashes -----------------------------------------------------------------------------------


def test_hashes_cover_whole_pages_and_all_that_is_before_them():
    first, second = make_sequence("aaaa bbbb cc"), make_sequence("xaaa bbbb cc")
    assert len(first.page_hashes) == 2
    assert not set(first.page_hashes) & set(second.page_hashes)
    assert make_sequence("aaaa bbbb dddd").page_hashes[:2] == first.page_hashes


def test_namespaces_have_different_hashes():
    one, other = make_sequence("aaaa", namespace="one"), make_sequence("aaaa", namespace="other")
    assert one.page_hashes != other.page_hashes


def test_hashes_grow_with_the_output():
    sequence = make_sequence("aaaa bb")
    for token in ids("bbcc"):
        sequence.append_token(token)
    assert sequence.extend_page_hashes(4) == make_sequence("aaaa bbbb").page_hashes
    assert sequence.extend_page_hashes(4) is sequence.page_hashes


# -- stops and the end -----------------------------------------------------------------------------


def test_stop_ids_are_the_models_and_the_requests():
    sampling = SamplingParams(stop_token_ids=(5,))
    sequence = make_sequence("a", eos_token_ids=frozenset({2}), sampling=sampling)
    assert sequence.stop_ids == {2, 5}


def test_ignore_eos_ignores_every_stop_token():
    sampling = SamplingParams(stop_token_ids=(5,), ignore_eos=True)
    sequence = make_sequence("a", eos_token_ids=frozenset({2}), sampling=sampling)
    assert not sequence.stop_ids


def test_terminal_event_tells_the_counts():
    sequence = make_sequence("abc", 4, now=1.5, max_new_tokens=9)
    sequence.append_token(1)
    sequence.num_retractions = 2
    finish = sequence.to_finish(FinishReason.STOP, 1, None)
    assert (finish.request_id, finish.reason, finish.matched) == ("r4", FinishReason.STOP, 1)
    assert (finish.num_prompt_tokens, finish.num_output_tokens) == (3, 1)
    assert (finish.num_retractions, finish.max_new_tokens) == (2, 9)
    assert finish.timings.arrival_s == 1.5
