"""The kinds' instances are what they are said to be, by a judge that knows no grammar library."""

from __future__ import annotations

import json

import pytest

from tests.grammar.checks import schema_problem
from tools.grammar_coverage.kinds import FOLDER, ORDER, read_kinds

KINDS = read_kinds()


def test_every_file_is_read():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(ORDER)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title)
def test_instances_are_what_they_are_said_to_be(kind):
    for case in kind.cases:
        for value in case.valid:
            assert schema_problem(case.schema, json.dumps(value)) is None, (case.name, value)
        for value in case.invalid:
            assert schema_problem(case.schema, json.dumps(value)) is not None, (case.name, value)
        assert case.valid and (case.invalid or case.schema == {}), case.name


def test_names_within_a_kind_are_unique_but_for_keywords():
    for kind in KINDS:
        names = [case.name for case in kind.cases]
        assert kind.title == "Handwritten" or len(set(names)) == len(names)
