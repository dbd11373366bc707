"""When an answer is right, and how many are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

from sglite.evaluation.instances import GUIDE, Guide, Instance

MIN_SIMILARITY = 0.8
"""Least similarity, from 0 to 1, of an answer to the paragraph that it is taken for."""

MIN_PERCENT = 90
"""Least share of right answers of every kind."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Right answers among those asked for, which are not none."""

    num_right: int
    num_asked: int

    @property
    def percent(self) -> float:
        """Share of the right answers."""
        return 100 * self.num_right / self.num_asked

    @property
    def suffices(self) -> bool:
        """True where the share reaches ``MIN_PERCENT``."""
        return 100 * self.num_right >= MIN_PERCENT * self.num_asked


def is_right(instance: Instance, text: str, guide: Guide) -> bool:
    """True where ``text`` is the expected answer, or is nearest to the expected paragraph."""
    if instance.kind == GUIDE:
        return is_nearest(text, instance.answer, guide)
    return text == instance.answer


def is_nearest(text: str, name: str, guide: Guide) -> bool:
    """True where a paragraph of ``name`` is similar to ``text``, and none of another id more so.

    Similarity is difflib's ratio, in which ``MIN_SIMILARITY`` counts as similar.
    """
    if text in guide[name]:
        return True
    # Without autojunk: it would drop every letter that is frequent in a text of 200 characters.
    matcher = SequenceMatcher(None, b=text, autojunk=False)
    best = max(_similarity(matcher, paragraph) for paragraph in guide[name])
    if best < MIN_SIMILARITY:
        return False
    others = (texts for other, texts in guide.items() if other != name)
    return not any(_exceeds(matcher, text, best) for texts in others for text in texts)


def tally(verdicts: Iterable[tuple[str, bool]]) -> dict[str, Tally]:
    """The count of each kind, kinds by name, from ``(kind, is right)``."""
    right: dict[str, list[bool]] = {}
    for kind, verdict in verdicts:
        right.setdefault(kind, []).append(verdict)
    return {kind: Tally(sum(right[kind]), len(right[kind])) for kind in sorted(right)}


def _similarity(matcher: SequenceMatcher[str], paragraph: str) -> float:
    matcher.set_seq1(paragraph)
    return matcher.ratio()


def _exceeds(matcher: SequenceMatcher[str], paragraph: str, limit: float) -> bool:
    """True where the ratio exceeds ``limit``; the upper bounds of it take microseconds."""
    matcher.set_seq1(paragraph)
    bounds = (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)
    return all(bound() > limit for bound in bounds)
