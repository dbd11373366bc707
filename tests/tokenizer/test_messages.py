"""Bad chats are refused by the name of the field; good ones become plain data."""

import pytest

from sglite.errors import RequestError
from sglite.tokenizer import messages as limits
from sglite.tokenizer.messages import check_messages, check_template_kwargs, check_tools

USER = {"role": "user", "content": "hi"}
ARGUMENTS = "messages[0].tool_calls[0].function.arguments"


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def call(**function):
    return [{"role": "assistant", "tool_calls": [{"id": "1", "function": function}]}]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (None, "messages"),
        ([], "messages"),
        ("hi", "messages"),
        ({"role": "user"}, "messages"),
        ([USER] * (limits.MAX_MESSAGES + 1), "messages"),
        (["hi"], "messages[0]"),
        ([USER, None], "messages[1]"),
        ([{"content": "hi"}], "messages[0].role"),
        ([{"role": "wizard", "content": "hi"}], "messages[0].role"),
        ([{"role": 3, "content": "hi"}], "messages[0].role"),
        ([{"role": ["user"], "content": "hi"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([{"role": "user", "content": 3}], "messages[0].content"),
        ([{"role": "user", "content": {"type": "text"}}], "messages[0].content"),
        ([{"role": "user", "content": ["hi"]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"text": "hi"}]}], "messages[0].content[0]"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
            "messages[0].content[0]",
        ),
        (
            [{"role": "user", "content": [{"type": "text", "text": 1}]}],
            "messages[0].content[0].text",
        ),
        ([{"role": "assistant", "tool_calls": 3}], "messages[0].tool_calls"),
        ([{"role": "assistant", "tool_calls": [3]}], "messages[0].tool_calls[0]"),
        (call(arguments="{}"), "messages[0].tool_calls[0]"),
        (call(name="f", arguments="{"), "messages[0].tool_calls[0].function.arguments"),
        (call(name="f", arguments="[]"), "messages[0].tool_calls[0].function.arguments"),
        (call(name="f", arguments="[" * 9999), "messages[0].tool_calls[0].function.arguments"),
        (call(name="f", arguments=nested(99)), "messages[0].tool_calls[0]"),
        (call(name="f", arguments=object()), "messages[0].tool_calls[0]"),
        (call(name="f", arguments={"a": 2**63}), "messages[0].tool_calls[0]"),
        (call(name="f", arguments='{"a": -9223372036854775809}'), ARGUMENTS),
        (call(name="f", arguments='{"a": "\\ud800"}'), ARGUMENTS),
        (call(name="f", arguments='{"\\udfff": 1}'), ARGUMENTS),
        ([USER | {"name": 10**20}], "messages[0]"),
        ([USER | {"name": "\ud800"}], "messages[0]"),
    ],
)
def test_bad_messages_are_refused_by_name(messages, param):
    with pytest.raises(RequestError) as info:
        check_messages(messages)
    assert info.value.param == param
    assert str(info.value).startswith(param)


def test_null_fields_and_foreign_objects_do_not_reach_the_template():
    message = {**USER, "name": "ann", "refusal": None, "audio": {"id": "x"}, 3: "x"}
    assert check_messages([message]) == [{**USER, "name": "ann"}]


def test_messages_are_copied():
    function = {"name": "f", "arguments": {"a": [1]}}
    given = call(**function)
    check_messages(given)[0]["tool_calls"][0]["function"]["arguments"]["a"].append(2)
    assert function["arguments"] == {"a": [1]}


def test_empty_argument_text_is_an_empty_object():
    checked = check_messages(call(name="f", arguments=""))
    assert checked[0]["tool_calls"][0]["function"]["arguments"] == {}


def test_reasoning_goes_by_each_of_its_names():
    checked = check_messages([{"role": "assistant", "content": "x", "reasoning": "r"}])[0]
    assert checked["reasoning_content"] == checked["thinking"] == "r"


@pytest.mark.parametrize("tools", [3, {}, "f", [3], [nested(99)], [{}] * 999])
def test_bad_tools_are_refused(tools):
    with pytest.raises(RequestError) as info:
        check_tools(tools)
    assert info.value.param.startswith("tools")


def test_no_tools_and_an_empty_list_are_the_same():
    assert check_tools([]) is check_tools(None) is None


@pytest.mark.parametrize(
    "kwargs",
    [
        3,
        [],
        {"messages": "x"},
        {"tools": "x"},
        {"tokenize": True},
        {"chat_template": "{{ x }}"},
        {"add_generation_prompt": False},
        {"bos_token": "x"},
        {"eos_token": "x"},
        {"raise_exception": 1},
        {"namespace": 1},
        {"range": 1},
        {"_x": 1},
        {"__class__": 1},
        {"a-b": 1},
        {"": 1},
        {"é": 1},
        {"a\n": 1},
        {"a" * 65: 1},
        {3: 1},
        {"x": None},
        {"x": []},
        {"x": {}},
        {"x": float("nan")},
        {"x": float("inf")},
        {"x": 2**63},
        {"x": "a" * (limits.MAX_KWARG_CHARS + 1)},
        {f"x{i}": 1 for i in range(limits.MAX_TEMPLATE_KWARGS + 1)},
    ],
)
def test_bad_template_kwargs_are_refused(kwargs):
    with pytest.raises(RequestError) as info:
        check_template_kwargs(kwargs)
    assert info.value.param == "chat_template_kwargs"


def test_scalars_pass_as_template_kwargs():
    kwargs = {"enable_thinking": False, "thinking_budget": 5, "t": 0.5, "date_string": "1 May"}
    assert check_template_kwargs(kwargs) == kwargs
    assert check_template_kwargs(None) == {}
