"""docs/structured-output.md has the tables that its generator makes; times may differ."""

from __future__ import annotations

import re

from tools.grammar_coverage import page
from tools.grammar_coverage.kinds import read_kinds
from tools.grammar_coverage.measure import Outcome, Result

TEXT = page.PAGE.read_text(encoding="utf-8")


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]


def test_page_has_a_row_for_every_kind_and_library():
    tables = rows_of(TEXT.split(page.BEGIN)[1].split(page.END)[0])
    for kind in read_kinds():
        rows = [row for row in tables if row and row[0] == kind.title]
        assert [row[2] for row in rows] == list(page.BACKENDS), kind.title
        for row in rows:
            assert row[1] == kind.about
            assert row[3].endswith(f"of {len(kind.cases)}"), "run python -m tools.grammar_coverage"
    keywords = {case.name.replace(", ", "`, `") for case in read_kinds()[-1].cases}
    assert keywords <= {row[0].strip("`") for row in tables if row}


def test_the_default_library_lets_nothing_invalid_pass_by_the_page():
    rows = [row for row in rows_of(TEXT) if len(row) == 8 and row[2] == "llguidance"]
    assert rows and all(row[5] == "0" for row in rows)


def test_tables_count_outcomes():
    outcomes = [Outcome.EXACT, Outcome.EXACT, Outcome.REFUSED, Outcome.NARROW, Outcome.WRONG]
    found = [Result("not", outcome, "", 2.0, [3.0]) for outcome in outcomes]
    kind = read_kinds()[-1]
    lines = page.by_kind([kind], {"llguidance": {"Handwritten": found}})
    assert "| 4 of 5 | 2 of 5 | 1 | 2.0 | 3.0 |" in lines[-1]
    assert re.search(
        r"2 exact, 1 narrow, 1 refused, 1 wrong",
        page.by_keyword({"llguidance": {"Handwritten": found}})[-1],
    )
