"""The table says what was measured, and what was not."""

from __future__ import annotations

import io

from sglite.bench.suite.figures import summarise
from sglite.bench.suite.machine import Rates
from sglite.bench.suite.report import print_report, rate_lines, run_line, table_lines, to_markdown
from sglite.bench.suite.rounds import Outcome, Reading
from tests.bench.suite.outcomes import SETTINGS, make_outcome

OUTCOME = make_outcome()
ROWS = summarise(OUTCOME, {"W1": 0.1, "W2": 30.0})


def test_lines_of_the_table():
    assert table_lines(ROWS) == [
        ["workload", "sglite", "of the floor", "<peer>", "other"],
        ["W0 cold start to first token", "2.00 s", "-", "8.00 s (4.00 x)", "-"],
        [
            "W1 single stream",
            "5.00 tok/s, first after 500 ms",
            "50%",
            "2.50 tok/s, first after 500 ms (2.00 x)",
            "-",
        ],
        [
            "W2 batch",
            "40.0 s, 2.50 tok/s",
            "75%",
            "failed",
            "50.0 s, 2.00 tok/s (1.25 x), failed",
        ],
    ]


def test_the_terminal_shows_table_rates_and_failures():
    stream = io.StringIO()
    print_report(OUTCOME, ROWS, stream)
    text = stream.getvalue()
    assert "read 35.0 GB/s and computed 410 GFLOP/s" in text
    assert "W2 <peer>: no answer within 5 s" in text
    assert "ran with" not in text
    print_report(Outcome([]), [], stream, parallel="tp_size 2")
    assert "rates were not measured" in stream.getvalue()
    assert "sglite ran with tp_size 2." in stream.getvalue()


def test_the_page_has_all_that_a_reader_needs():
    page = to_markdown(OUTCOME, ROWS, SETTINGS, chart="cpu.svg")
    assert "| W1 single stream | 5.00 tok/s, first after 500 ms | 50% |" in page
    assert "![The same as bars](cpu.svg)" in page
    assert "sglite bench compare --peer b=python" in page
    assert "| model, before 1 | 30.0 | 400 |" in page
    assert "| <peer> | peer 2 |" in page
    assert "- W2 other: ended | later" in page
    assert "not comparable" not in page
    assert "not comparable" in to_markdown(OUTCOME, ROWS, SETTINGS | {"shrink": 4})
    assert "sglite with" not in page
    several = to_markdown(OUTCOME, ROWS, SETTINGS | {"tp_size": 2, "pp_size": 2})
    assert "bfloat16; sglite with tp_size 2, pp_size 2; medians" in several


def test_the_8_bit_rate_is_shown_where_it_was_measured():
    outcome = Outcome([])
    rates = Rates(read_bytes_per_s=1e9, flop_per_s=2e9, int8_ops_per_s=3e9)
    outcome.readings = [Reading("model", "before 1", rates)]
    assert rate_lines(outcome)[1] == ["model, before 1", "1.0", "2", "3"]


def test_a_run_in_a_line():
    job = OUTCOME.jobs[2]
    records = OUTCOME.records["W2"]
    assert run_line(job, "sglite", records["sglite"]) == "W2 sglite: 40.0 s, 2.50 tok/s"
    assert run_line(job, "a", records["<peer>"]) == "W2 a: failed: no answer within 5 s"
    last = OUTCOME.records["W1"]["sglite"]
    assert run_line(OUTCOME.jobs[1], "a", last).startswith("W1 a: 5.00 tok/s")
