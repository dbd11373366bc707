"""The tools of a body and what tool_choice makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sglite.errors import RequestError
from sglite.server.openai.tools import ToolUse, read_tools

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool(name: str, **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **function}}


WEATHER, TIME = tool("get_weather"), tool("get_time")
BOTH = [WEATHER, TIME]


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def use(tool_format: str | None = "hermes", **body: Any) -> ToolUse:
    return read_tools(body, tool_format)


def refusal(tool_format: str | None = "hermes", **body: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read_tools(body, tool_format)
    return caught.value


@pytest.mark.parametrize("choice", [None, "", "auto"])
def test_by_default_the_model_decides(choice):
    found = use(tools=BOTH, tool_choice=choice)
    assert found.shown == BOTH
    assert found.names == {"get_weather", "get_time"}
    assert found.tag is None


@pytest.mark.parametrize(
    "body", [{}, {"tools": None}, {"tools": []}, {"tools": BOTH, "tool_choice": "none"}]
)
def test_none_are_none(body):
    assert use(**body) == ToolUse()


@pytest.mark.parametrize(
    ("body", "field", "names"),
    [
        ({"tool_choice": "required"}, "tool_choice", {"get_weather", "get_time"}),
        ({"tool_choice": named("get_time")}, "tool_choice", {"get_time"}),
        ({"parallel_tool_calls": False}, "parallel_tool_calls", {"get_weather", "get_time"}),
        ({"tools": [WEATHER, tool("f", strict=True)]}, "tools", {"get_weather", "f"}),
    ],
)
def test_what_asks_for_more_becomes_a_tag(body, field, names):
    found = use(**{"tools": BOTH, **body})
    assert (found.field, found.names) == (field, names)
    assert json.loads(found.tag)["type"] == "structural_tag"
    assert all((name in found.tag) == (name in names) for name in ("get_weather", "get_time"))


def test_the_tag_says_whether_and_how_often_to_call():
    tags = [
        use(tools=BOTH, tool_choice="required").tag,
        use(tools=BOTH, tool_choice="required", parallel_tool_calls=False).tag,
        use(tools=BOTH, parallel_tool_calls=False).tag,
        use(tools=BOTH, tool_choice=named("get_time")).tag,
    ]
    assert len(set(tags)) == 4


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": 5}, "tools"),
        ({"tools": ["x"]}, "tools[0]"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [WEATHER, tool("")]}, "tools[1].function.name"),
        ({"tools": [tool("a b")]}, "tools[0].function.name"),
        ({"tools": [tool("x" * 129)]}, "tools[0].function.name"),
        ({"tools": [tool(5)]}, "tools[0].function.name"),
        ({"tools": [tool("f", parameters=[])]}, "tools[0].function.parameters"),
        ({"tools": [tool("f", parameters={"type": "text"})]}, "tools[0].function.parameters"),
        ({"tools": [tool("f", parameters={"properties": []})]}, "tools[0].function.parameters"),
        ({"tools": [tool("f", strict="yes")]}, "tools[0].function.strict"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name"),
        ({"tools": BOTH, "tool_choice": 5}, "tool_choice"),
        ({"tools": BOTH, "tool_choice": "any"}, "tool_choice"),
        ({"tools": BOTH, "tool_choice": ["auto"]}, "tool_choice"),
        ({"tools": BOTH, "tool_choice": {}}, "tool_choice"),
        ({"tools": BOTH, "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tools": BOTH, "tool_choice": {"type": "function", "function": {}}}, "tool_choice"),
        ({"tools": BOTH, "tool_choice": named("get_money")}, "tool_choice"),
        ({"tool_choice": named("get_time")}, "tool_choice"),
        ({"tool_choice": "required"}, "tools"),
        ({"tools": BOTH, "parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ],
    ids=str,
)
def test_bad_tools_name_their_field(body, param):
    assert refusal(**body).param == param


def test_an_unknown_name_and_a_double_one_are_named():
    assert "get_money" in str(refusal(tools=BOTH, tool_choice=named("get_money")))
    assert "get_weather" in str(refusal(tools=[WEATHER, WEATHER]))


def test_the_tag_names_the_tool_that_a_schema_is_of():
    tag = use(tools=BOTH, tool_choice=named("get_time")).tag
    assert '"source": "tools[1].function.parameters"' in tag
    assert "tools[0]" not in tag


def test_tools_are_checked_also_where_none_may_be_called():
    assert refusal(tools=[WEATHER, WEATHER], tool_choice="none").param == "tools[1].function.name"


def test_a_model_without_a_format_shows_tools_and_promises_nothing():
    assert use(None, tools=BOTH).shown == BOTH
    for body in ({"tool_choice": "required"}, {"parallel_tool_calls": False}):
        error = refusal(None, tools=BOTH, **body)
        assert error.param in body and "--tool-call-parser" in str(error)
