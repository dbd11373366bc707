"""The outcome of an evaluation: as a table, as JSON, and what fell short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sglite.evaluation.agreement import MIN_AGREEMENT_PERCENT, Agreement
from sglite.evaluation.answering import Answers
from sglite.evaluation.scoring import MIN_PERCENT, Tally, tally

MAX_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Report:
    """All answers; agreement of a draft model and perplexity where they were asked for."""

    answers: Answers
    agreement: Agreement | None = None
    perplexity: float | None = None

    def tallies(self) -> dict[str, Tally]:
        """Right and asked per kind, by name."""
        return tally((each.instance.kind, each.is_right) for each in self.answers.answers)

    def table(self) -> str:
        """A row per kind and one for all, under them what it took."""
        tallies = self.tallies()
        width = max(len("total"), *map(len, tallies))
        heads = f"{'kind':<{width}} {'right':>7} {'asked':>7} {'percent':>9}"
        lines = [heads + (f" {'draft':>9}" if self.agreement else "")]
        for name, counted in [*tallies.items(), ("total", _total(tallies))]:
            row = f"{name:<{width}} {counted.num_right:>7} {counted.num_asked:>7}"
            lines.append(f"{row} {counted.percent:>7.1f} %{self._draft_cell(name)}")
        answers = self.answers
        lines.append(
            f"{len(answers.answers):,} answers in {answers.wall_s:.1f} s: "
            f"{answers.num_tokens:,} tokens, {answers.tokens_per_s:,.0f} tokens/s"
        )
        if self.perplexity is not None:
            lines.append(f"perplexity of the right answers: {self.perplexity:.4f}")
        return "\n".join(lines)

    def shortfalls(self) -> list[str]:
        """A line for what the answers and one for what the draft lacks; none if all is well."""
        lines = []
        short = [
            f"{kind} ({counted.num_right:,} of {counted.num_asked:,})"
            for kind, counted in self.tallies().items()
            if not counted.suffices
        ]
        if short:
            lines.append(f"below {MIN_PERCENT} %: {', '.join(short)}")
        if self.agreement is not None and not self.agreement.suffices:
            lines.append(
                f"the draft model agrees on {self.agreement.overall:.2f} % of the tokens, "
                f"below {MIN_AGREEMENT_PERCENT} %"
            )
        return lines

    def wrong_answers(self, num_shown: int) -> Iterator[str]:
        """Up to ``num_shown`` wrong answers of each kind, as a text of three lines each."""
        num_told: Counter[str] = Counter()
        for answer in self.answers.answers:
            instance, generation = answer.instance, answer.generation
            if answer.is_right or num_told[instance.kind] >= num_shown:
                continue
            num_told[instance.kind] += 1
            reason = generation.message or generation.finish_reason.value
            yield (
                f"wrong: {instance.kind}, line {instance.line}: {_shown(instance.prompt)}\n"
                f"  expected {_shown(instance.answer)}\n"
                f"  answered {_shown(generation.text)} (finish={reason})"
            )

    def figures(self) -> dict[str, Any]:
        """What the table says, for programs; percentages are not rounded."""
        tallies = self.tallies()
        agreement = self.agreement
        return {
            "kinds": {kind: _figures(counted) for kind, counted in tallies.items()},
            "total": _figures(_total(tallies)),
            "wall_s": self.answers.wall_s,
            "output_tokens": self.answers.num_tokens,
            "tokens_per_s": self.answers.tokens_per_s,
            "perplexity": self.perplexity,
            "draft_agreement": agreement
            and {"kinds": agreement.by_kind, "total": agreement.overall},
            "shortfalls": self.shortfalls(),
        }

    def _draft_cell(self, name: str) -> str:
        if self.agreement is None:
            return ""
        overall = self.agreement.overall
        return f" {self.agreement.by_kind.get(name, overall):>7.1f} %"


def _total(tallies: dict[str, Tally]) -> Tally:
    counted = list(tallies.values())
    return Tally(sum(each.num_right for each in counted), sum(each.num_asked for each in counted))


def _figures(counted: Tally) -> dict[str, Any]:
    return {"right": counted.num_right, "asked": counted.num_asked, "percent": counted.percent}


def _shown(text: str) -> str:
    """The text on one line, its middle left out where it is long."""
    if len(text) > MAX_SHOWN_CHARACTERS:
        half = MAX_SHOWN_CHARACTERS // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return repr(text)
