"""Ends are valid whatever the grammar, short, and found from where a text stands."""

from __future__ import annotations

import itertools

import pytest

from sglite.grammar.backend import GrammarTooComplexError
from sglite.grammar.closing import EndFinder
from tests.grammar.small_grammars import (
    GRAMMARS,
    LLGuidanceMatcher,
    allowed,
    finder,
    new_mask,
    object_of,
    pieces,
    start,
    tokenizer,
)

EFFORT = 2000


def ends(matcher: LLGuidanceMatcher, token_ids: list[int]) -> bool:
    """Whether the text may end behind some tokens, taken one by one."""
    behind = matcher.fork()
    return all(behind.accept([i]) == 1 for i in token_ids) and behind.is_accepting


def behind(text: str, kind: str, grammar: str) -> LLGuidanceMatcher:
    matcher = start(kind, grammar)
    token_ids = tokenizer().tokenize_str(text)
    assert matcher.accept(token_ids) == len(token_ids)
    return matcher


def find(matcher: LLGuidanceMatcher, **options: object) -> bytes | None:
    found = finder().find(matcher, **{"max_tokens": 400, "effort": EFFORT, **options})
    return None if found is None else finder().text(found)


@pytest.mark.parametrize("name", GRAMMARS)
def test_an_end_is_found_from_the_start(name):
    matcher = start(*GRAMMARS[name])
    before, after = new_mask(), new_mask()
    matcher.fill_mask(before)
    found = finder().find(matcher, max_tokens=400, effort=EFFORT)
    matcher.fill_mask(after)
    assert found is not None
    assert ends(matcher, found)
    assert (before == after).all(), "the search moved the matcher"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("optional fields only", b"{}"),
        ("optional before required", b'{"z":true}'),
        ("nested objects", b'{"a":{"b":{}}}'),
        ("enum", b"null"),
        ("tree", b'{"value":0}'),
        ("cheap branch", b'{"ok":0}'),
        ("linked list", b'{"next":null,"value":0}'),
        ("arrays of arrays", b"[]"),
        ("expensive branch", b"bc"),
        ("endless or one", b"x"),
        ("one way out", b"z"),
        ("xml", None),
        ("anything", b""),
        ("expensive close", b""),
    ],
)
def test_the_cheap_way_is_found(name, text):
    found = finder().find(start(*GRAMMARS[name]), max_tokens=400, effort=EFFORT)
    expected = 1 if text is None else len(finder().fewest_tokens(text))
    assert len(found) <= expected


@pytest.mark.parametrize("name", ["enum", "between", "multipleOf", "arithmetic", "a*b"])
def test_no_end_of_fewer_tokens_exists(name):
    found = finder().find(start(*GRAMMARS[name]), max_tokens=400, effort=EFFORT)
    places = [start(*GRAMMARS[name])]
    words_W = new_mask()
    for _ in range(min(len(found), 3) - 1):
        assert not any(place.is_accepting for place in places)
        following = []
        for place in places:
            place.fill_mask(words_W)
            for token_id in allowed(words_W):
                following.append(place.fork())
                following[-1].accept([token_id])
        places = following[:2000]
    assert not any(place.is_accepting for place in places)


def test_many_letters_take_few_tokens():
    found = finder().find(start("regex", "[a-z]{200}"), max_tokens=400, effort=EFFORT)
    assert len(found) <= 30
    assert len(finder().text(found)) == 200


def test_deep_nesting_is_closed():
    matcher = behind("[" * 300, "json", '{"type":"array","items":{"$ref":"#"}}')
    assert find(matcher) == b"]" * 300


def test_an_end_in_the_middle_of_a_character_completes_it():
    matcher = start("regex", "[à-ü]{2}")
    matcher.accept([pieces().index("é".encode()[:1])])
    found = find(matcher)
    assert ("é".encode()[:1] + found).decode()[1:] != ""


def test_no_more_tokens_than_asked_for():
    matcher = start("regex", "[a-c]{40}")
    shortest = finder().find(matcher, max_tokens=100, effort=EFFORT)
    assert len(finder().find(matcher, max_tokens=len(shortest), effort=EFFORT)) <= len(shortest)
    assert find(matcher, max_tokens=5, effort=200) is None


def test_effort_bounds_the_search():
    class Counting(LLGuidanceMatcher):
        num_masks = 0

        def fill_mask(self, words_W):
            Counting.num_masks += 1
            super().fill_mask(words_W)

        def fork(self):
            return Counting(self.matcher.deep_copy())

    matcher = Counting(start("regex", "([a-y]{3}){100}[a-y]z").matcher)
    assert find(matcher, effort=12) is None
    assert 1 <= Counting.num_masks <= 12


def test_a_hint_that_still_ends_the_text_is_taken_without_a_search():
    class NotForked(LLGuidanceMatcher):
        def fork(self):
            raise AssertionError("searched")

    grammar = object_of(["a"], a={"type": "string"})
    matcher = NotForked(behind('{"a":"some', *grammar).matcher)
    hint = tokenizer().tokenize_str(' words"}')
    assert finder().find(matcher, max_tokens=9, hints=[hint], effort=1) == hint
    with pytest.raises(AssertionError, match="searched"):
        finder().find(matcher, max_tokens=len(hint) - 1, hints=[hint], effort=1)


def test_a_part_of_a_hint_ends_the_text():
    fields = {f"f{i}": {"type": "integer"} for i in range(8)}
    grammar = object_of(list(fields), **fields)
    end = finder().find(start(*grammar), max_tokens=400, effort=EFFORT)
    matcher = behind('{"f0":12345,"f1":', *grammar)
    # A value, and then what of the known end is left.
    assert find(matcher, hints=[end], effort=3).endswith(
        b',"f2":0,"f3":0,"f4":0,"f5":0,"f6":0,"f7":0}'
    )


def test_a_library_that_gives_up_leaves_no_end():
    class GivesUp(LLGuidanceMatcher):
        def fill_mask(self, words_W):
            raise GrammarTooComplexError("too much")

        def fork(self):
            return self

    assert find(GivesUp(start("regex", "[a-z]{3}").matcher)) is None


def test_bytes_are_dropped_from_the_start():
    tokens = tokenizer().tokenize_str('{"name":"","age":0}')
    text = finder().text(tokens)
    for num_bytes in range(len(text) + 1):
        rest = finder().drop_bytes(tokens, num_bytes)
        assert finder().text(rest) == text[num_bytes:]
    assert finder().drop_bytes(tokens, 0) == tokens
    assert finder().drop_bytes(tokens, len(text) + 5) == []


def test_parts_of_an_end_that_go_on_behind_what_was_taken():
    vocabulary = [b"0", b"1", b'"', b",", b',"', b'."', b'"}', b"}"]
    small = EndFinder(vocabulary)

    def first_rest(end: list[int], taken: bytes) -> bytes:
        rests = small.rests(end, [vocabulary.index(taken)])
        assert rests[-1] == end
        return small.text(rests[0])

    assert first_rest([6], b'."') == b"}"
    assert first_rest([2, 3, 0], b'."') == b",0"
    assert first_rest([4, 0], b",") == b'"0'
    assert first_rest([1, 3, 0], b",") == b"0"


def test_fewest_tokens_match_every_division():
    vocabulary = [b"a", b"b", b"ab", b"ba", b"aab", b"abba", b""]
    small = EndFinder(vocabulary)
    for letters in itertools.product(b"ab", repeat=7):
        text = bytes(letters)
        fewest = small.fewest_tokens(text)
        assert small.text(fewest) == text
        assert len(fewest) == fewest_by_trying(text, vocabulary)
    assert small.fewest_tokens(b"abc") is None
    assert small.fewest_tokens(b"") == []


def fewest_by_trying(text: bytes, vocabulary: list[bytes]) -> int:
    if not text:
        return 0
    starts = [piece for piece in vocabulary if piece and text.startswith(piece)]
    return 1 + min(fewest_by_trying(text[len(piece) :], vocabulary) for piece in starts)


def test_a_search_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a second later than the one before."""
    ticks = itertools.count()
    monkeypatch.setattr("sglite.grammar.closing.time.thread_time", lambda: float(next(ticks)))
    matcher = start("regex", "[a-y]*z{40}[0-9]{3}|[a-y]{70}")
    assert finder().find(matcher, max_tokens=2, effort=200, max_s=5.0) is None
    assert next(ticks) == 7, "the beginning, and five places"
