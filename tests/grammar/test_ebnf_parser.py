"""EBNF texts as rules."""

import pytest

from sglite.errors import RequestError
from sglite.grammar.ebnf_parser import parse_ebnf
from sglite.grammar.expressions import EMPTY, Alt, Chars, Ref, Repeat, Seq, literal

NO_LINE_BREAK = Chars(((0, 9), (11, 0xD7FF), (0xE000, 0x10FFFF)))


def test_everything_that_can_be_written():
    rules = parse_ebnf(
        r"""
        root ::= "a\n\x41" item{2,3}   # a comment "with quotes
               | ( [a-c^-] | . )+ other-rule?
        item ::= [\]\u00e9]{2} ""
        other-rule ::= item*
        """
    )
    chars = Alt((Chars(((45, 45), (94, 94), (97, 99))), NO_LINE_BREAK))
    first = Seq((literal("a\nA"), Repeat(Ref("item"), 2, 3)))
    second = Seq((Repeat(chars, 1, None), Repeat(Ref("other-rule"), 0, 1)))
    assert rules["root"] == Alt((first, second))
    assert rules["item"] == Seq((Repeat(Chars(((93, 93), (233, 233))), 2, 2), EMPTY))
    assert rules["other-rule"] == Repeat(Ref("item"), 0, None)


def test_rules_that_are_not_used_are_left_out():
    assert set(parse_ebnf('root ::= "a"\nother ::= root')) == {"root"}


def test_options_that_never_end_are_left_out():
    rules = parse_ebnf('root ::= "a" | endless | [] | "b" endless*\nendless ::= "x" endless')
    assert rules == {"root": Alt((literal("a"), Seq((literal("b"), EMPTY))))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rule named root"),
        ('a ::= "b"', "no rule named root"),
        ('root ::= "a" b', "rule b in root"),
        ("root ::= root", "never comes to an end"),
        ('root ::= "x" root', "never comes to an end"),
        ('root ::= "a', "has no end"),
        ("root ::= [a", "has no end"),
        ("root ::= (\n", r"line 2: \) is expected"),
        ('root ::= "a"\nroot ::= "b"', "line 2: the rule root is defined twice"),
        ("root ::= [b-a]", "backwards"),
        ('root ::= "a"{3,2}', "backwards"),
        ('root ::= "a"{x}', "repeat has to be"),
        (r'root ::= "\q"', "escape"),
        (r'root ::= "\uD800"', "bad escape"),
        (r'root ::= "\xZZ"', "no code point"),
        ("root ::= (= a)", "not expected"),
        ("root ::= " + "(" * 40 + '"a"' + ")" * 40, "deep"),
        ('root ::= ("a"{1000}){1000}', "1000000"),
        ("#" * 70_000, "bytes long"),
    ],
)
def test_what_is_no_grammar_is_refused(text, message):
    with pytest.raises(RequestError, match=message) as caught:
        parse_ebnf(text)
    assert caught.value.param == "ebnf"


@pytest.mark.parametrize("sign", ["=", ":", ":="])
def test_other_signs_of_a_definition_are_told_the_one_that_is_known(sign):
    with pytest.raises(RequestError, match="name ::= "):
        parse_ebnf(f'root {sign} "a"')
