import json

from sglite.evaluation.agreement import Agreement
from sglite.evaluation.report import MAX_SHOWN_CHARACTERS, Report
from tests.evaluation.fakes import answers

ROWS = [("sums", "12", True), ("words", "ab", True), ("words", "cd", False)]


def test_table_has_a_row_per_kind_a_total_and_the_speed():
    lines = Report(answers(*ROWS)).table().splitlines()
    assert [line.split() for line in lines[:-1]] == [
        ["kind", "right", "asked", "percent"],
        ["sums", "1", "1", "100.0", "%"],
        ["words", "1", "2", "50.0", "%"],
        ["total", "2", "3", "66.7", "%"],
    ]
    assert lines[-1] == "3 answers in 2.0 s: 6 tokens, 3 tokens/s"


def test_draft_gets_a_column():
    report = Report(answers(*ROWS), Agreement({"sums": 80.0, "words": 40.0}, 53.3))
    cells = [line.split()[-2:] for line in report.table().splitlines()[1:-1]]
    assert cells == [["80.0", "%"], ["40.0", "%"], ["53.3", "%"]]


def test_perplexity_is_a_line_where_it_was_measured():
    report = Report(answers(*ROWS), perplexity=1.23456)
    assert report.table().splitlines()[-1] == "perplexity of the right answers: 1.2346"
    assert report.figures()["perplexity"] == 1.23456
    assert "perplexity" not in Report(answers(*ROWS)).table()


def test_what_fell_short_is_named():
    assert Report(answers(("sums", "1", True)), Agreement({}, 60.0)).shortfalls() == []
    assert Report(answers(*ROWS), Agreement({}, 53.25)).shortfalls() == [
        "below 90 %: words (1 of 2)",
        "the draft model agrees on 53.25 % of the tokens, below 60 %",
    ]


def test_so_many_wrong_answers_of_each_kind_are_shown():
    report = Report(answers(("a", "1", False), ("a", "3", False), ("b", "4", False), *ROWS))
    assert list(report.wrong_answers(0)) == []
    texts = list(report.wrong_answers(1))
    assert [text.split(",")[0] for text in texts] == ["wrong: a", "wrong: b", "wrong: words"]
    assert texts[0] == ("wrong: a, line 1: '1+1='\n  expected '2'\n  answered '1' (finish=stop)")


def test_long_and_unprintable_answers_are_shown_in_short():
    (text,) = Report(answers(("a", "\x1b[31m" + "x" * 900, False))).wrong_answers(1)
    assert "\\x1b[31m" in text and " ... " in text and "\x1b" not in text
    assert len(text) < MAX_SHOWN_CHARACTERS + 100


def test_figures_are_json_and_not_rounded():
    figures = json.loads(json.dumps(Report(answers(*ROWS)).figures()))
    assert figures["kinds"]["words"] == {"right": 1, "asked": 2, "percent": 50.0}
    assert figures["total"]["percent"] == 100 * 2 / 3
    assert figures["draft_agreement"] is None and len(figures["shortfalls"]) == 1
    agreed = Report(answers(*ROWS), Agreement({"sums": 80.0}, 70.0)).figures()
    assert agreed["draft_agreement"] == {"kinds": {"sums": 80.0}, "total": 70.0}
