"""Python's literals as JSON: what Python reads, and nothing that it would run."""

import ast
import json
import random

import pytest

from sglite.parsing.python_literals import MAX_DEPTH, read_literal
from sglite.parsing.tape import Tape
from tests.parsing.answers import random_value


def read(text):
    """The literal at the beginning of ``text`` as JSON text, or None."""
    tape = Tape()
    tape.hold()
    tape.append(text)
    tape.end()
    scan = read_literal(tape)
    try:
        next(scan)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("waits after the end")


def test_literals_read_as_python_reads_them():
    rng = random.Random(1)
    for _ in range(500):
        value = random_value(rng)
        assert json.loads(read(repr(value))) == value


@pytest.mark.parametrize(
    "text",
    ["'a\\'b'", '"\\x41\\u00e9\\U0001F989\\n"', "(1, 2)", "(1,)", "()", "(1)", "[1, ]",
     "{'a': 1,}",
     "-.5", "5.", "+3", "1e-3", "0.10", "{'a': {'b': (True, None)}}", "'line \\\n on'"],
)  # fmt: skip
def test_spellings(text):
    value = ast.literal_eval(text)
    assert json.loads(read(text)) == (list(value) if isinstance(value, tuple) else
        json.loads(json.dumps(value)))  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["a", "1+1", "f()", "{1: 2}", "{1, 2}", "{'a'}", "[1", "'a", "'\\x4'", "'\\U00FFFFFF'", ".",
     "", "-",     "[1 2]", "1_0", "0x10", "'\\x+1'", "inf", "b'a'"],
)  # fmt: skip
def test_the_rest_is_refused(text):
    assert read(text) is None


def test_depth_is_bounded():
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH) == "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert read("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)) is None


def test_half_a_character_stays_an_escape():
    assert read("'\\ud800'") == '"\\ud800"'
    assert json.loads(read("'\\ud83e\\udd89'")) == "🦉"
    assert json.loads(read("true")) is True
