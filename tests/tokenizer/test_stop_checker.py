"""The verdict falls at the first token whose text completes a stop."""

import random

import pytest

from sglite.request import SamplingParams
from sglite.scheduler.plan import StopMatch
from sglite.tokenizer.stop_checker import StopChecker
from sglite.tokenizer.tokenizer import Tokenizer
from tests.fakes_text import CORPUS, ByteTokenizer, byte_level_backend, sentencepiece_backend


def verdicts(tokenizer, text, **stops):
    checker = StopChecker(tokenizer, **stops)
    return [checker.push(i) for i in tokenizer.encode(text, add_special_tokens=False)]


def test_verdict_falls_on_the_byte_that_completes_the_stop():
    found = verdicts(ByteTokenizer(), "a stop!", stop=("stop",))
    assert found == [None] * 5 + [StopMatch("stop"), None]


def test_stop_may_begin_and_end_within_tokens():
    tokenizer = Tokenizer(byte_level_backend())
    text = "Hello world, the quick brown fox"
    pieces = [tokenizer.piece(i) for i in tokenizer.encode(text)]
    found = verdicts(tokenizer, text, stop=("rld, the qu",))
    index = next(i for i, match in enumerate(found) if match)
    assert "rld, the qu" in "".join(pieces[: index + 1])
    assert "rld, the qu" not in "".join(pieces[:index])


def test_the_match_that_begins_first_wins():
    tokenizer = Tokenizer(byte_level_backend())
    (token_id,) = tokenizer.encode(" quick")
    assert StopChecker(tokenizer, stop=("ick", "qui")).push(token_id) == StopMatch("qui")
    assert StopChecker(tokenizer, stop=("qu", "qui")).push(token_id) == StopMatch("qu")
    both = StopChecker(tokenizer, stop=("ick",), stop_regex=("q[a-z]",))
    assert both.push(token_id) == StopMatch("qu")


def test_newline_as_a_byte_piece_stops_at_once():
    tokenizer = Tokenizer(sentencepiece_backend())
    newline = tokenizer._backend.token_to_id("<0x0A>")
    assert StopChecker(tokenizer, stop=("\n",)).push(newline) == StopMatch("\n")


def test_special_tokens_stop_only_where_they_are_shown():
    tokenizer = ByteTokenizer()
    shown = StopChecker(tokenizer, stop=("<eos>",), skip_special_tokens=False)
    assert shown.push(257) == StopMatch("<eos>")
    assert StopChecker(tokenizer, stop=("<eos>",)).push(257) is None


def test_requests_without_stops_have_no_checker():
    tokenizer = ByteTokenizer()
    assert StopChecker.try_for_request(tokenizer, SamplingParams(stop_token_ids=(3,))) is None
    for sampling in (SamplingParams(stop=("a",)), SamplingParams(stop_regex=("a",))):
        assert StopChecker.try_for_request(tokenizer, sampling).push(97) == StopMatch("a")


@pytest.mark.parametrize(
    ("pattern", "text", "end"),
    [
        (r"\d{2}", "a1b22c", "a1b22"),
        (r"^b", "ab", None),
        (r"^a", "ab", "a"),
        (r"(?m)^b", "a\nb", "a\nb"),
        (r"(?<=aa)b", "abaab", "abaab"),
        (r"\bend\b", "bend end", "bend end"),
        (r"foo(?=bar)", "foo foobar", "foo foobar"),
        (r"x[^y]*y", "x" + "-" * 100 + "y", "x" + "-" * 100 + "y"),
        (r"x[^y]*y", "x" + "-" * 300 + "y", None),
        (r"^\s*x", " " * 300 + "x", None),
    ],
)
def test_regexes_see_the_text_before_and_a_bounded_window(pattern, text, end):
    found = verdicts(ByteTokenizer(), text, stop_regex=(pattern,))
    ends = [i + 1 for i, match in enumerate(found) if match]
    assert ends[:1] == ([] if end is None else [len(end)])


def test_memory_is_bounded_however_long_the_text():
    tokenizer = ByteTokenizer()
    checker = StopChecker(tokenizer, stop=("zz" * 128,), stop_regex=(r"q\d+w",))
    for i in range(20_000):
        assert checker.push(97 + i % 3) is None
    assert len(checker._search._tail) <= 256 + 64 + 16


def test_long_pieces_are_searched_in_chunks():
    tokenizer = ByteTokenizer()
    search = StopChecker(tokenizer, stop_regex=(r"a+a+a+b",))._search
    assert search.feed("a" * 5_000 + "c") is None
    match = search.feed("x" * 500 + "aaab" + "y" * 500)
    assert (match.start, match.matched) == (5_501, "aaab")


@pytest.mark.parametrize("make", [byte_level_backend, sentencepiece_backend])
def test_verdict_equals_a_search_of_the_whole_text(make):
    tokenizer = Tokenizer(make())
    rng = random.Random(3)
    for _ in range(2_000):
        line = rng.choice(CORPUS)
        ids = tokenizer.encode(line, add_special_tokens=False)
        text = tokenizer.decode(ids)
        stop = tuple(
            text[start : start + rng.randrange(1, 8)]
            for start in (rng.randrange(len(text)) for _ in range(rng.randrange(1, 4)))
        )
        checker = StopChecker(tokenizer, stop=stop)
        for count, token_id in enumerate(ids, start=1):
            match = checker.push(token_id)
            so_far = tokenizer.decode(ids[:count]).rstrip("\ufffd")
            starts = {s: so_far.find(s) for s in stop if s in so_far}
            assert (match is None) == (not starts), (so_far, stop)
            if match is not None:
                assert starts[match.matched] == min(starts.values())
                break
