"""What a greedy lexer cuts rightly, by hand and against a recogniser over characters."""

from sglite.grammar.ebnf_parser import parse_ebnf
from sglite.grammar.expressions import Alt, Chars, Repeat, Seq, literal
from sglite.grammar.lexemes import Lexeme, cut_into_lexemes, ends_of, is_regular

A_TO_C = Chars(((97, 99),))


def lexemes_of(text: str) -> set:
    found, pending = set(), list(cut_into_lexemes(parse_ebnf(text), "root").values())
    while pending:
        node = pending.pop()
        if isinstance(node, Lexeme):
            found.add(node.body)
        elif isinstance(node, Repeat):
            pending.append(node.body)
        elif isinstance(node, (Seq, Alt)):
            pending.extend(node.parts if isinstance(node, Seq) else node.options)
    return found


def test_ends_of_a_loop_behind_a_sign():
    ends = ends_of(Seq((literal("-"), Repeat(A_TO_C, 1, None))))
    assert ends.first == ((45, 45),)
    assert ends.last_next == ends.inner == ((97, 99),)
    assert not ends.is_nullable


def test_an_optional_end_lets_a_text_go_on():
    ends = ends_of(Seq((literal("x"), Repeat(A_TO_C, 0, 1))))
    assert ends.last_next == ((97, 99),)
    assert ends_of(Repeat(A_TO_C, 0, 1)).is_nullable


def test_a_regular_grammar_is_one_lexeme():
    assert len(lexemes_of('root ::= [a-z]+ "b"')) == 1


def test_words_between_brackets_stay_whole():
    found = lexemes_of('root ::= "(" root ")" | [a-z]+')
    assert Repeat(Chars(((97, 122),)), 1, None) in found


def test_what_would_be_read_too_far_is_split():
    found = lexemes_of('root ::= "x" root [a-z]* | "." [a-z]+')
    assert all(isinstance(body, Chars) for body in found if body != Chars(()))


def test_references_are_not_regular():
    assert not is_regular(parse_ebnf('root ::= "a" root | "b"')["root"])
