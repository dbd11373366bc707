"""The questions of an evaluation: a file of JSON lines, checked before anything runs.

A line is ``{"kind": "capitals", "prompt": "...", "answer": "..."}``. The prompt is the whole text
that the model reads, special tokens included; the answer is what shall follow, without the end
token. Of kind ``guide`` the answer is the id of a paragraph: ``guide.json`` beside the file maps
ids to ``{"en": paragraph, "zh": paragraph}``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sglite.errors import ConfigError

GUIDE = "guide"
"""The kind whose answers are compared with paragraphs; all others are exact."""

GUIDE_FILE = "guide.json"
FIELDS = ("kind", "prompt", "answer")

Guide = Mapping[str, tuple[str, ...]]
"""The paragraphs of each id, one per language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One question and what is expected; ``line`` is its place in the file, from 1."""

    line: int
    kind: str
    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Questions:
    """The instances of ``path`` in their order, and the paragraphs that kind ``guide`` needs."""

    path: Path
    instances: list[Instance]
    guide: Guide = field(default_factory=dict)

    def chosen(self, *, kinds: Sequence[str] = (), limit: int | None = None) -> Questions:
        """The first ``limit`` instances of each of ``kinds``, of all kinds where none is named.

        Raises ConfigError for a kind that the file does not have.
        """
        known = sorted({instance.kind for instance in self.instances})
        for kind in kinds:
            if kind not in known:
                raise ConfigError(
                    f"--kind: {self.path} has no kind {kind!r:.80}; choose from {', '.join(known)}"
                )
        num_taken: Counter[str] = Counter()
        taken = []
        for instance in self.instances:
            is_wanted = not kinds or instance.kind in kinds
            if is_wanted and (limit is None or num_taken[instance.kind] < limit):
                num_taken[instance.kind] += 1
                taken.append(instance)
        return Questions(self.path, taken, self.guide)


def read_questions(path: Path) -> Questions:
    """The instances of ``path``. Raises ConfigError naming file, line and what is wrong."""
    lines = _read_text(path).split("\n")
    instances = [
        _read_line(text, label=f"{path} line {number}", line=number)
        for number, text in enumerate(lines, 1)
        if text.strip()
    ]
    if not instances:
        raise ConfigError(f"{path} has no instances; give one JSON object per line")
    guided = [instance for instance in instances if instance.kind == GUIDE]
    if not guided:
        return Questions(path, instances)
    guide_path = path.parent / GUIDE_FILE
    guide = read_guide(guide_path)
    for instance in guided:
        if instance.answer not in guide:
            raise ConfigError(
                f"{path} line {instance.line}: {guide_path} has no paragraph "
                f"{instance.answer!r:.80}"
            )
    return Questions(path, instances, guide)


def read_guide(path: Path) -> Guide:
    """The paragraphs of ``path``. Raises ConfigError naming the file and what is wrong."""
    entries = _parsed_object(_read_text(path), label=str(path))
    for name, entry in entries.items():
        texts = entry.values() if isinstance(entry, dict) else ()
        if not texts or not all(isinstance(text, str) and text for text in texts):
            raise ConfigError(
                f'{path}: {name!r:.80} must be an object of texts, such as {{"en": "..."}}'
            )
    return {name: tuple(entry.values()) for name, entry in entries.items()}


def _read_line(text: str, *, label: str, line: int) -> Instance:
    entry = _parsed_object(text, label=label)
    for name in FIELDS:
        if name not in entry:
            raise ConfigError(f"{label}: {name} is missing; it needs {', '.join(FIELDS)}")
        if not isinstance(entry[name], str) or not entry[name]:
            raise ConfigError(f"{label}: {name} must be a text that is not empty")
    return Instance(line=line, **{name: entry[name] for name in FIELDS})


def _parsed_object(text: str, *, label: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{label}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{label}: a JSON object is expected, not {type(value).__name__}")
    return value


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
