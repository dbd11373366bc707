"""Characters and their syntaxes."""

import pytest

from sglite.grammar.expressions import (
    EMPTY,
    MAX_CODE_POINT,
    Alt,
    Chars,
    Ref,
    Repeat,
    Seq,
    children,
    complement,
    ebnf,
    literal,
    map_refs,
    merge,
    overlap,
    rust_regex,
    walk,
)

WORD = Seq((Chars(((97, 99),)), Repeat(literal("x-"), 2, None), Alt((literal("é"), EMPTY))))


def test_merge_joins_neighbours_and_drops_surrogates():
    assert merge([(5, 9), (1, 2), (3, 4), (20, 30)]) == ((1, 9), (20, 30))
    assert merge([(0xD700, 0xE000)]) == ((0xD700, 0xD7FF), (0xE000, 0xE000))


def test_complement_twice_is_the_same():
    for ranges in ((), ((0, 5),), ((3, 9), (0xE001, MAX_CODE_POINT))):
        assert complement(complement(ranges)) == ranges


@pytest.mark.parametrize("first", [(), ((1, 5),), ((1, 2), (8, 9))])
@pytest.mark.parametrize("second", [(), ((5, 6),), ((3, 7),), ((0, 100),)])
def test_overlap_is_a_common_character(first, second):
    one, two = ({c for a, b in ranges for c in range(a, b + 1)} for ranges in (first, second))
    assert overlap(first, second) == bool(one & two)


def test_rust_syntax():
    assert rust_regex(WORD) == r"[a-c](?:x\x{2D}){2,}(?:\x{E9}|(?:))"


def test_ebnf_syntax():
    assert ebnf(WORD) == r'[a-c] ([x] [\U0000002D]){2,} ([\U000000E9] | (""))'


def test_references_are_replaced_everywhere():
    tree = Seq((Ref("a"), Repeat(Alt((Ref("b"), literal("c"))), 0, 1)))
    changed = map_refs(tree, lambda ref: literal(ref.name * 2))
    assert not any(isinstance(node, Ref) for node in walk(changed))
    assert children(changed)[0] == literal("aa")
    with pytest.raises(TypeError):
        rust_regex(tree)
