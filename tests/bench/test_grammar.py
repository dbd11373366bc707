from __future__ import annotations

import json

import pytest

from sglite.bench import grammar
from sglite.errors import ConfigError


def test_schemas_of_the_batch_differ_and_are_closed() -> None:
    schemas = [json.loads(grammar.batch_schema(number)) for number in range(64)]
    assert len({json.dumps(schema) for schema in schemas}) == 64
    assert all(schema["additionalProperties"] is False for schema in schemas)


def test_the_object_has_ten_required_fields() -> None:
    schema = json.loads(grammar.object_schema())
    assert len(schema["required"]) == len(schema["properties"]) == 10


def test_both_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert grammar.main(["--batch", "2", "--rounds", "1", "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert "a decode step of 2 sequences" in out
    assert "times as quick" in out


@pytest.mark.parametrize("words", [["--batch", "0"], ["--steps", "41"], ["--rounds", "0"]])
def test_numbers_that_cannot_be_are_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        grammar.main(words)
