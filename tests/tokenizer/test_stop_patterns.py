"""Stops within the limits are admitted; a regex that could run away is not."""

import pytest

from sglite.errors import RequestError
from sglite.tokenizer.stop_patterns import (
    CHUNK_CHARS,
    check_stop_strings,
    compile_stop_regexes,
)


@pytest.mark.parametrize("stop", [("",), ("a" * 257,), ("a",) * 17, (3,), (None,)])
@pytest.mark.parametrize("check", [check_stop_strings, compile_stop_regexes])
def test_stops_beyond_the_limits_are_refused(check, stop):
    with pytest.raises(RequestError) as info:
        check(stop)
    assert info.value.param == ("stop" if check is check_stop_strings else "stop_regex")


def test_stops_at_the_limits_are_admitted():
    assert len(check_stop_strings(["a" * 256] * 16)) == 16
    assert len(compile_stop_regexes(["a" * 256] * 16)) == 16


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a+)*b",
        "(a|ab)*c",
        "(?:a?){30}a",
        "(x{1,100}){1,100}y",
        r"(\s*\w*)*!",
        "a*" * 6 + "b",
        "(?=(a+)+b)a",
        "((a{1,9}){1,9}){1,9}b",
        "(?P<x>(a|aa)+)$",
        "((ab?)+c?)+",
        "(" * 6 + "a?" + "){999}" * 6,
        "(" * 6 + "){999}" * 6,
        "(?:(?:(?:^|b){999}){999}){999}a",
    ],
)
def test_runaway_regexes_are_refused(pattern):
    with pytest.raises(RequestError, match=r"stop_regex .* could take too long") as info:
        compile_stop_regexes([pattern])
    assert info.value.param == "stop_regex"


@pytest.mark.parametrize("pattern", ["(", "[", "a{2,1}", "(?P<1>a)", "\\", "(?<=a+)b", "*"])
def test_what_is_no_regex_is_refused(pattern):
    with pytest.raises(RequestError, match="is not a regular expression"):
        compile_stop_regexes([pattern])


@pytest.mark.parametrize("pattern", ["a*", "", "(a|b)?", "$", "(?=a)?"])
def test_regexes_that_match_nothing_at_all_are_refused(pattern):
    with pytest.raises(RequestError, match=r"empty text|1 to 256"):
        compile_stop_regexes([pattern])


@pytest.mark.parametrize(
    ("pattern", "window"),
    [
        ("stop", 4),
        ("(User|Human):", 6),
        (r"\n\nQ\d{1,3}:", 7),
        (r"\d+\.", 256),
        (r"\n\s*\n", 256),
        ("foo(?=bar)", 256),
        ("a{300}", 256),
        (r"(?i)the\s+end", 256),
    ],
)
def test_window_is_the_widest_match_or_what_is_affordable(pattern, window):
    assert compile_stop_regexes([pattern])[0].window == window


def test_more_repeats_span_less_text():
    windows = [compile_stop_regexes([r"\s+".join("abcd"[:n])])[0].window for n in (2, 3, 4)]
    assert windows == sorted(windows, reverse=True)
    assert windows[0] == 256 > windows[-1]


@pytest.mark.parametrize("pattern", [r"a*a*b", r"a+a+a+b", r"(a|b)*a*b", r"a?a?a?a?a?a*b"])
def test_admitted_regexes_return_on_their_worst_text(pattern):
    (regex,) = compile_stop_regexes([pattern])
    assert regex.pattern.search("a" * (regex.window + CHUNK_CHARS)) is None


def test_many_regexes_share_one_budget():
    pattern = r"a\s+b\s+c"
    alone = compile_stop_regexes([pattern])[0].window
    assert compile_stop_regexes([pattern] * 16)[0].window < alone
