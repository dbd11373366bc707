"""What a program appends is data: joined in order, with the settings that were said."""

from __future__ import annotations

import json
import re

import pytest

from sglite import lang
from sglite.errors import RequestError
from sglite.lang.expressions import Gen, Joined, RoleBegin, RoleEnd, Select, Text, as_expression


def test_text_and_calls_join_in_the_order_they_are_written():
    joined = "a" + lang.gen("x") + "b" + (lang.gen("y") + "c")
    assert joined == Joined((Text("a"), Gen("x"), Text("b"), Gen("y"), Text("c")))
    assert joined.names == ("x", "y")


def test_gen_keeps_only_what_was_said_under_the_names_of_sampling_parameters():
    said = lang.gen(
        "x", 9, stop="\n", temperature=0.0, top_logprobs_num=2, min_tokens=1, top_k=None
    )
    assert said == Gen(
        "x",
        {"max_new_tokens": 9, "stop": ["\n"], "temperature": 0.0, "min_new_tokens": 1},
        {"top_logprobs_num": 2},
    )


def test_a_schema_may_be_an_object():
    said = lang.gen("x", json_schema={"type": "object"})
    assert json.loads(said.sampling["json_schema"]) == {"type": "object"}
    assert lang.gen("x", json_schema="{}").sampling == {"json_schema": "{}"}


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [(int, "-12", "1.5"), ("float", "1.5", "x"), (bool, "True", "yes"), (str, '"a b"', "a b")],
)
def test_a_dtype_is_a_regex(dtype, good, bad):
    regex = lang.gen("x", dtype=dtype).sampling["regex"]
    assert re.fullmatch(regex, good) and not re.fullmatch(regex, bad)


def test_a_number_ends_where_a_blank_follows():
    assert lang.gen_int("x", stop="!").sampling["stop"] == ["!", " ", "\n"]
    assert "stop" not in lang.gen_string("x").sampling


def test_choices_make_a_selection():
    select = lang.gen("x", choices=["a", "b"])
    assert isinstance(select, Select) and select.choices == ("a", "b")
    assert select == lang.select("x", ["a", "b"])


def test_roles_are_written_in_two_ways():
    assert lang.user("Hi") == Joined((RoleBegin("user"), Text("Hi"), RoleEnd("user")))
    assert lang.user("Hi") == lang.user_begin() + "Hi" + lang.user_end()
    assert lang.assistant(lang.gen("x")).names == ("x",)
    assert lang.system() == Joined((RoleBegin("system"), Text(""), RoleEnd("system")))


@pytest.mark.parametrize(
    ("make", "param"),
    [
        (lambda: lang.gen("x", regex="a", dtype=int), "regex"),
        (lambda: lang.gen("x", dtype=list), "dtype"),
        (lambda: lang.select("x", []), "choices"),
        (lambda: lang.select("x", "ab"), "choices"),
        (lambda: lang.select("x", ["a", ""]), "choices"),
        (lambda: lang.select("x", ["a"], temperature=1.0), "temperature"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, param):
    with pytest.raises(RequestError) as refused:
        make()
    assert refused.value.param == param


def test_what_is_neither_text_nor_expression_is_refused():
    with pytest.raises(TypeError, match="NoneType"):
        as_expression(None)
