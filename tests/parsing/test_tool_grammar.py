"""What a tag lets through is read back as calls."""

import itertools
import json
import random
import re

import pytest

from sglite.errors import ConfigError, RequestError
from sglite.parsing.formats import TOOL_FORMATS
from sglite.parsing.scanned_answer import ToolCall
from sglite.parsing.tool_grammar import tool_call_tag
from tests.parsing.answers import parse

FUNCTIONS = [
    {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"n": {"type": "integer"}, "b_2": {}, "a": {"type": "integer"}},
            "required": ["a"],
        },
    },
    {"name": "get", "parameters": {"type": "object", "properties": {"a": {}, "x": {}}}},
    {"name": "f"},
]
FORMATS = sorted({form.name for form in TOOL_FORMATS.values()})


def write(form, rng):
    """A random text of a structural tag's format; JSON values are small."""
    kind = form["type"]
    if kind == "const_string":
        return form["value"]
    if kind == "sequence":
        return "".join(write(part, rng) for part in form["elements"])
    if kind == "or":
        return write(rng.choice(form["elements"]), rng)
    if kind == "tag":
        return form["begin"] + write(form["content"], rng) + form["end"]
    if kind == "json_schema":
        is_object = form["json_schema"].get("type") == "object"
        return rng.choice(['{"a": 1}', '{"a": [null]}'] if is_object else ["1", "-20"])
    tags = [rng.choice(form["tags"]) for _ in range(1 if form["stop_after_first"] else 2)]
    if kind == "triggered_tags":
        assert all(
            sum(tag["begin"].startswith(trigger) for trigger in form["triggers"]) == 1
            for tag in form["tags"]
        )
        return "So: " + " then ".join(write(tag, rng) for tag in tags)
    assert kind == "tags_with_separator"
    return form["separator"].join(write(tag, rng) for tag in tags)


@pytest.mark.parametrize("at_least_one", [True, False])
@pytest.mark.parametrize("is_parallel", [True, False])
@pytest.mark.parametrize("tool_format", FORMATS)
def test_texts_of_a_tag_are_calls(tool_format, is_parallel, at_least_one):
    options = {"at_least_one": at_least_one, "is_parallel": is_parallel}
    tag = json.loads(tool_call_tag(tool_format, FUNCTIONS, **options))
    rng = random.Random(1)
    for _ in range(60):
        text = write(tag["format"], rng)
        words, _, calls = parse(tool_format, text)
        assert re.fullmatch("" if at_least_one else "(So: )?( then )?", words), text
        assert calls and (is_parallel or len(calls) == 1), text
        assert all(isinstance(json.loads(call.arguments), dict) for call in calls)
        assert all("a" in json.loads(c.arguments) for c in calls if c.name == "get_weather")


def schemas_in(form):
    """Every JSON schema of a structural tag."""
    if isinstance(form, dict):
        own = [form["json_schema"]] if form.get("type") == "json_schema" else []
        return own + list(itertools.chain(*map(schemas_in, form.values())))
    return list(itertools.chain(*map(schemas_in, form))) if isinstance(form, list) else []


def test_parameters_are_enforced_where_the_call_is_forced_or_strict():
    def schemas(at_least_one):
        tag = tool_call_tag("hermes", FUNCTIONS, at_least_one=at_least_one, is_parallel=True)
        return schemas_in(json.loads(tag)["format"]["tags"])

    strict, loose = FUNCTIONS[0]["parameters"], FUNCTIONS[1]["parameters"]
    assert schemas(at_least_one=True)[:2] == [strict, loose]
    assert schemas(at_least_one=False) == [strict, {"type": "object"}, {"type": "object"}]


def test_optional_arguments_in_python_may_be_left_out():
    tag = json.loads(tool_call_tag("pythonic", FUNCTIONS, at_least_one=True, is_parallel=False))
    rng = random.Random(2)
    found = {parse("pythonic", write(tag["format"], rng))[2][0] for _ in range(400)}
    names = {(call.name, *json.loads(call.arguments)) for call in found}
    assert names == {
        ("get_weather", "a"), ("get_weather", "a", "n"), ("get_weather", "a", "b_2"),
        ("get_weather", "a", "n", "b_2"), ("get",), ("get", "a"), ("get", "x"), ("get", "a", "x"),
        ("f",),
    }  # fmt: skip
    assert ToolCall("f", "{}") in found


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"type": "object", "anyOf": [{}]}, "'g' use anyOf"),
        ({"type": "object", "properties": {"a b": {}}, "required": ["a b"]}, "require 'a b'"),
    ],
)
def test_what_python_cannot_say_is_refused(parameters, message):
    function = {"name": "g", "parameters": parameters}
    with pytest.raises(RequestError, match=message) as caught:
        tool_call_tag("pythonic", [function], at_least_one=True, is_parallel=True)
    assert caught.value.param == "tools"


def test_bad_names_are_refused():
    with pytest.raises(RequestError, match="'a b' cannot be written"):
        tool_call_tag("hermes", [{"name": "a b"}], at_least_one=True, is_parallel=True)
    with pytest.raises(ConfigError, match="'nemo'"):
        tool_call_tag("nemo", FUNCTIONS, at_least_one=True, is_parallel=True)
