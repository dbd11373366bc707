from __future__ import annotations

from pathlib import Path

import pytest

from sglite.bench.gpu_suite.page import BEGIN, END, SHOWN, write_page
from sglite.bench.gpu_suite.part_table import PARTS
from sglite.bench.gpu_suite.results import DONE, Check, Figure, PartResult

PAGE = Path(__file__).resolve().parents[3] / "docs" / "benchmarks" / "gpu.md"
RESULTS = [
    PartResult("machine", DONE, details={"machine": {"gpu": "H200"}}),
    PartResult("kernels", DONE, checks=[Check("norm", True), Check("draw", False)]),
    PartResult("single", DONE, figures=[Figure("one stream", 1000.0, "tok/s", 2000.0)]),
]


def test_figures_stand_between_the_markers_and_can_be_replaced(tmp_path):
    page = tmp_path / "gpu.md"
    page.write_text(PAGE.read_text())
    for _ in range(2):
        write_page(page, {"date": "2026-11-30"}, RESULTS)
        before, rest = page.read_text().split(BEGIN)
        figures, after = rest.split(END)
        assert before + after == "".join(outside(PAGE.read_text()))
        assert "2026-11-30: gpu H200." in figures
        assert "### One stream" in figures and "| one stream | 1,000 tok/s | 50% |" in figures
        assert "1 of 2 checks of kernels and tokens hold." in figures


def outside(text: str) -> tuple[str, str]:
    before, rest = text.split(BEGIN)
    return before, rest.split(END)[1]


def test_a_page_without_markers_is_left_alone(tmp_path):
    page = tmp_path / "gpu.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="markers"):
        write_page(page, {}, RESULTS)
    assert page.read_text() == "nothing"


def test_page_names_every_part():
    text = PAGE.read_text()
    assert [name for name in PARTS if f"| `{name}` |" not in text] == []
    assert set(SHOWN) <= set(PARTS)
