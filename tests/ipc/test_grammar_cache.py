from __future__ import annotations

from sglite.ipc.grammar_cache import ENTRY_BYTES, GrammarCache
from sglite.request import GrammarSpec


def spec(number: int) -> GrammarSpec:
    return GrammarSpec("json_schema", f'{{"const": {number}}}')


def test_ten_thousand_schemas_stay_within_the_bound() -> None:
    cache: GrammarCache[int] = GrammarCache(100 * (1000 + ENTRY_BYTES))
    for number in range(10_000):
        cache.put(spec(number), number, 1000)
        assert cache.num_bytes <= 100 * (1000 + ENTRY_BYTES)
    assert len(cache) == 100
    assert cache.get(spec(9_900)) == 9_900 and cache.get(spec(9_899)) is None


def test_what_was_used_last_stays() -> None:
    cache: GrammarCache[int] = GrammarCache(3 * (10 + ENTRY_BYTES))
    for number in range(3):
        cache.put(spec(number), number, 10)
    assert cache.get(spec(0)) == 0
    cache.put(spec(3), 3, 10)
    assert [cache.get(spec(number)) for number in range(4)] == [0, None, 2, 3]


def test_what_is_too_large_is_not_kept_and_drives_nothing_out() -> None:
    cache: GrammarCache[int] = GrammarCache(2000)
    cache.put(spec(0), 0, 10)
    cache.put(spec(1), 1, 2000)
    assert cache.get(spec(0)) == 0 and cache.get(spec(1)) is None


def test_a_new_value_takes_the_place_of_the_old() -> None:
    cache: GrammarCache[int] = GrammarCache(10_000)
    for size in (5000, 100):
        cache.put(spec(0), size, size)
    assert cache.get(spec(0)) == 100
    assert cache.num_bytes == 100 + ENTRY_BYTES


def test_grammars_of_another_kind_or_with_other_rights_are_others() -> None:
    cache: GrammarCache[int] = GrammarCache(10_000)
    variants = [
        GrammarSpec("regex", "a"),
        GrammarSpec("ebnf", "a"),
        GrammarSpec("json_schema", "a"),
        GrammarSpec("json_schema", "a", ignores_keywords=True),
        GrammarSpec("regex", "\ud800"),
    ]
    for number, variant in enumerate(variants):
        cache.put(variant, number, 1)
    assert [cache.get(variant) for variant in variants] == [0, 1, 2, 3, 4]
