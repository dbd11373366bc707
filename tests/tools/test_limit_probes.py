"""What the page of limits is made of: the server's own words about values that it refuses."""

from __future__ import annotations

import pytest

from tools.limit_probes import ProbedServer, words_of


@pytest.fixture(scope="module")
def server() -> ProbedServer:
    return ProbedServer()


@pytest.mark.parametrize(
    ("name", "message", "words"),
    [
        ("n", "n must be from 1 to 128, got 999", "from 1 to 128"),
        ("n", "n must be an integer, got 'x, got it'", "an integer"),
        ("stop", "stop must have at most 16 entries, got 20", "have at most 16 entries"),
        ("n", "something else is wrong", "something else is wrong"),
    ],
)
def test_a_message_becomes_a_rule_without_name_and_value(name, message, words):
    assert words_of(message, name) == words


def test_rules_of_a_field_are_its_type_and_its_range_once_each(server):
    body = {"prompt": [1]}
    assert server.rules("/v1/completions", body, "n") == ["an integer", "from 1 to 128"]
    assert server.rules("/v1/completions", body, "echo") == ["true or false"]


def test_a_field_inside_another_is_asked_for(server):
    rules = server.rules("/generate", {"input_ids": [1]}, "sampling_params.top_p")
    assert rules == ["a number", "above 0 and at most 1"]


def test_values_of_its_own_are_tried_as_well(server):
    rules = server.rules("/v1/completions", {"prompt": [1]}, "stop_regex", ["("])
    assert any("not a regular expression" in rule for rule in rules)


def test_what_passes_every_check_reaches_the_engine_and_ends_there(server):
    taken = server.ask("/v1/completions", {"prompt": [1]})
    refused = server.ask("/v1/completions", {"prompt": [1], "n": 0})
    assert taken.is_taken and taken.status == 429
    assert not refused.is_taken and refused.param == "n"


def test_a_field_that_does_not_exist_has_no_rules(server):
    assert server.rules("/v1/completions", {"prompt": [1]}, "no_such_field") == []
