from __future__ import annotations

from sglite.bench.gpu_suite.results import DONE, Check, Figure, PartResult
from sglite.bench.gpu_suite.summary import amount, bar, machine_of, to_markdown

RESULTS = [
    PartResult("machine", DONE, details={"machine": {"gpu": "H200", "driver": None}}),
    PartResult("kernels", DONE, checks=[Check("norm", True), Check("draw", False, "3 differ")]),
    PartResult("offline", "timed out", 9.0, [Figure("run 1", 25_000.0, "tok/s", 50_000.0)]),
    PartResult("single", "failed", error="Traceback: boom"),
]


def test_page_begins_with_what_is_wrong():
    page = to_markdown({"date": "today"}, RESULTS)
    problems, parts = page.split("## machine")
    assert "date today; gpu H200" in problems and "driver" not in problems
    assert "- **kernels**: draw: 3 differ" in problems
    assert "- **offline**: timed out" in problems and "- **single**: failed" in problems
    assert "Traceback: boom" in parts and "1 of 2 checks hold" in parts
    assert "| run 1 | 25,000 tok/s | 50% | ██████████░░░░░░░░░░ |" in parts


def test_a_page_without_problems_says_nothing_of_them():
    assert "wrong" not in to_markdown({}, RESULTS[:1])
    assert machine_of(RESULTS[1:]) == {}


def test_amounts_have_four_digits():
    figures = {25_123.4: "25,123", 912.34: "912", 91.234: "91.2", 1.2345: "1.23", 0.0: "0.00"}
    assert {value: amount(Figure("a", value, "s"))[:-2] for value in figures} == figures


def test_bars_are_full_at_the_limit_and_beyond():
    assert bar(None) == ""
    assert bar(0.0) == "░" * 20
    assert bar(1.0) == bar(1.7) == "█" * 20
