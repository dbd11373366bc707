"""The kinds of schemas and their instances."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "kinds"
ORDER = (
    "glaiveai github_easy github_medium github_hard github_ultra kubernetes snowplow "
    "washington_post json_schema_store handwritten"
).split()


@dataclass(frozen=True, slots=True)
class Case:
    """A schema; ``valid`` instances fit it, in the order of its properties, ``invalid`` do not."""

    name: str
    schema: Any
    valid: list[Any]
    invalid: list[Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """Schemas of one kind; ``about`` says what they are."""

    title: str
    about: str
    cases: list[Case]


def read_kinds() -> list[Kind]:
    """All kinds, in the order of the tables."""
    return [_read(FOLDER / f"{name}.json") for name in ORDER]


def _read(path: Path) -> Kind:
    data = json.loads(path.read_text(encoding="utf-8"))
    return Kind(data["title"], data["about"], [Case(**case) for case in data["cases"]])
