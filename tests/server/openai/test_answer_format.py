"""Every spelling of a grammar reaches the engine as one parameter; two are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sglite.errors import RequestError
from sglite.request import Request
from sglite.server.openai.answer_format import ANY_OBJECT, read_format
from tests.server.openai_calls import CHAT, COMPLETIONS, USER, post, refused, with_server

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TEXT = json.dumps(SCHEMA, separators=(",", ":"))
TAG = {"type": "structural_tag", "structures": [], "triggers": []}
TAG_TEXT = json.dumps(TAG, separators=(",", ":"))
WRAPPED = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}

SPELLINGS: list[tuple[dict[str, Any], str, Any]] = [
    ({"response_format": {"type": "json_object"}}, "json_schema", ANY_OBJECT),
    ({"response_format": WRAPPED}, "json_schema", TEXT),
    ({"response_format": TAG}, "structural_tag", TAG_TEXT),
    ({"json_schema": SCHEMA}, "json_schema", TEXT),
    ({"json_schema": TEXT}, "json_schema", TEXT),
    ({"regex": "a+"}, "regex", "a+"),
    ({"ebnf": "root ::= [a]"}, "ebnf", "root ::= [a]"),
    ({"choice": ["a", "b"]}, "choice", ("a", "b")),
    ({"structural_tag": TAG}, "structural_tag", TAG_TEXT),
    ({"guided_json": SCHEMA}, "json_schema", TEXT),
    ({"guided_regex": "a+"}, "regex", "a+"),
    ({"guided_choice": ["a", "b"]}, "choice", ("a", "b")),
    ({"guided_grammar": "root ::= [a]"}, "ebnf", "root ::= [a]"),
    ({"structured_outputs": {"json": SCHEMA, "regex": None}}, "json_schema", TEXT),
    ({"structured_outputs": {"json_object": True}}, "json_schema", ANY_OBJECT),
    ({"structured_outputs": {"regex": "a+", "json_object": False}}, "regex", "a+"),
    ({"structured_outputs": {"choice": ["a"]}}, "choice", ("a",)),
    ({"structured_outputs": {"grammar": "root ::= [a]"}}, "ebnf", "root ::= [a]"),
    ({"structured_outputs": {"structural_tag": TAG}}, "structural_tag", TAG_TEXT),
]
HARMLESS: list[dict[str, Any]] = [
    {"response_format": {"type": "text"}}, {"response_format": None}, {"response_format": {}},
    {"guided_choice": []}, {"regex": ""}, {"json_schema": None}, {"structured_outputs": {}},
    {"structured_outputs": {"json": None}},
]  # fmt: skip
BAD: list[tuple[dict[str, Any], str]] = [
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format"),
    ({"response_format": {"type": ["text"]}}, "response_format"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
     "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": 5}}},
     "response_format.json_schema.schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "strict": 1}}},
     "response_format.json_schema.strict"),
    ({"structured_outputs": 5}, "structured_outputs"),
    ({"structured_outputs": {"xml": 1}}, "structured_outputs"),
    ({"structured_outputs": {"json_object": 1}}, "structured_outputs.json_object"),
    ({"guided_json": "{"}, "guided_json"),
    ({"guided_regex": 5}, "guided_regex"),
    ({"guided_choice": "abc"}, "guided_choice"),
    ({"json_schema": "{"}, "json_schema"),
    ({"regex": "x" * 70_000}, "regex"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "name", "value"), SPELLINGS, ids=lambda each: str(each)[:50])
def test_a_spelling_is_one_parameter(body, name, value):
    found = read_format(body)
    assert (found.name, found.value, found.ignores_keywords) == (name, value, False)
    assert found.field.split(".")[0] in body


@pytest.mark.parametrize("body", HARMLESS, ids=str)
def test_what_asks_for_nothing_is_no_format(body):
    assert read_format(body) is None


@pytest.mark.parametrize(("body", "field"), BAD, ids=lambda each: str(each)[:70])
def test_bad_values_name_their_field(body, field):
    with pytest.raises(RequestError) as caught:
        read_format(body)
    assert caught.value.param == field


def test_two_formats_are_refused_by_both_names():
    for first, second in (({"regex": "a"}, {"guided_json": {}}), ({"response_format": WRAPPED},
                          {"structured_outputs": {"choice": ["a"]}})):  # fmt: skip
        with pytest.raises(RequestError) as caught:
            read_format({**first, **second})
        assert all(name in str(caught.value) for name in (*first, *second))


def test_a_schema_that_is_not_strict_may_have_keywords_left_out():
    for strict, expected in ((False, True), (True, False), (None, False)):
        wrapped = {"schema": SCHEMA, "strict": strict}
        found = read_format({"response_format": {"type": "json_schema", "json_schema": wrapped}})
        assert found.ignores_keywords is expected


# -- through the routes ----------------------------------------------------------------------------


def requests_of(path: str, body: dict[str, Any]) -> list[Request]:
    async def use(http, front):
        answer = await http.post(
            path, json={"prompt": "hello", "messages": USER, "max_tokens": 2, **body}
        )
        assert answer.status_code == 200, answer.text
        assert not set(body) & set(answer.json().get("ignored_fields", []))
        return front.engine.requests

    return with_server(use)


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_the_engine_gets_the_grammar(path):
    [request] = requests_of(path, {"response_format": WRAPPED})
    assert request.sampling.grammar == ("json_schema", TEXT, False)
    allowed = {"allow_ignored_schema_keywords": True}
    [request] = requests_of(path, {"guided_json": SCHEMA, **allowed})
    assert request.sampling.grammar == ("json_schema", TEXT, True)
    for request in requests_of(path, {"regex": "a+", "n": 2}):
        assert request.sampling.grammar == ("regex", "a+", False)


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_two_grammars_are_a_400(path):
    error = refused(path, {"response_format": WRAPPED, "regex": "a"})
    assert "response_format" in error["message"] and "regex" in error["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_what_the_engine_says_of_a_grammar_names_the_clients_field(path, stream):
    def refuse(front):
        def submit(requests, receiver):
            error = RequestError("json_schema cannot be fulfilled", param="json_schema")
            receiver.refuse(requests[0].request_id, error)

        front.engine.submit = submit

    body = {"prompt": "hello", "messages": USER, "stream": stream, "response_format": WRAPPED}
    answer = post(path, body, refuse)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["message"] == "response_format cannot be fulfilled"
    assert error["param"] == "response_format"
