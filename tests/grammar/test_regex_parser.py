"""Python's regular expressions, produced by an automaton that is not Python's."""

import re

import pytest

from sglite.errors import RequestError
from sglite.grammar.expressions import rust_regex
from sglite.grammar.regex_parser import parse_regex

CHARS = [chr(code) for code in range(0x250)] + list("٣日²ſK 🙂")
ITEMS = r"\d \D \w \W \s \S . k é [^k] [^\D_] [^\W\s] [a-f] [^a-fé] [\d\s] [^S]".split(" ")


def produced(pattern: str, chars: list[str]) -> set[str]:
    ranges = parse_regex(pattern).ranges
    return {char for char in chars if any(low <= ord(char) <= high for low, high in ranges)}


@pytest.mark.parametrize("flags", ["", "(?i)", "(?a)", "(?s)", "(?ai)"])
@pytest.mark.parametrize("item", ITEMS)
def test_a_class_produces_nothing_that_python_refuses(flags, item):
    chars = produced(flags + item, CHARS)
    assert chars
    for char in chars:
        assert re.fullmatch(flags + item, char), char


def test_printable_ascii_is_produced_in_full():
    for item in (r"\d", r"\w", r"\D", ".", "[^a-f]", r"\W", "(?i)[a-c]"):
        printable = [chr(code) for code in range(32, 127)]
        assert produced(item, printable) == {c for c in printable if re.fullmatch(item, c)}


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        ("^ab$", "ab"),
        ("(?:a|^b)c", "(?:a|b)c"),
        ("a{2,}?b+", "(?:a){2,}(?:b)+"),
        ("(?P<n>x)*", "(?:x)*"),
        ("", ""),
        ("(?x) a  b # c", "ab"),
    ],
)
def test_written_for_rust(pattern, written):
    assert rust_regex(parse_regex(pattern)).replace("(?:)", "").replace("[a-b]", "") == written


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        (r"(a)\1", "back-reference"),
        ("a(?=b)", "look-ahead"),
        ("(?<!a)b", "negative look"),
        (r"a\b", "rewrite"),
        ("a^b", "middle"),
        ("(a$)*b", "middle"),
        ("(a", "no regular expression"),
        ("(?P<n>a)(?(n)b)", "conditional"),
    ],
)
def test_what_is_not_regular_is_refused_by_name(pattern, what):
    with pytest.raises(RequestError, match=what) as caught:
        parse_regex(pattern, param="json_schema")
    assert caught.value.param == "json_schema"


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("b", ["abc", "b"], ["", "a"]),
        ("^b", ["bc"], ["ab"]),
        ("b$", ["ab"], ["bc"]),
        ("^$|^[a-f]{2,4}$", ["", "abc"], ["x", "abcde"]),
        ("(^a|b$)", ["ax", "xb"], ["xa", "bx"]),
        ("^(?:aa|b)$", ["aa"], ["aab", "xb"]),
        ("^x|y", ["xa", "ay"], ["ax"]),
        ("", ["", "a"], []),
    ],
)
def test_a_search_may_have_any_text_around(pattern, yes, no):
    rust = rust_regex(parse_regex(pattern, is_search=True))
    written = re.sub(r"\\x\{([0-9A-F]+)\}", lambda found: f"\\U{int(found[1], 16):08X}", rust)
    for text in yes:
        assert re.search(pattern, text) and re.fullmatch(written, text), text
    for text in no:
        assert not re.search(pattern, text) and not re.fullmatch(written, text), text


def test_a_search_with_anchors_that_nothing_fits_is_refused():
    with pytest.raises(RequestError, match="nothing fits"):
        parse_regex("$a", is_search=True)
