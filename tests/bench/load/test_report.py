"""The table has a column per server and says what failed; the JSON has every figure."""

from __future__ import annotations

import io
import json

from sglite.bench.load.figures import summarise
from sglite.bench.load.report import print_table, table_rows, to_json
from tests.bench.load.test_figures import call

GOOD = summarise([call(), call()], {"ttft": 200.0})
BAD = summarise([call(error="[red]no room[/red]")] * 3, {"ttft": 200.0})


def test_columns_stand_side_by_side_and_errors_below():
    stream = io.StringIO()
    print_table({"ours": GOOD, "theirs": BAD}, stream)
    text = stream.getvalue()
    assert text.splitlines()[0].split() == ["ours", "theirs"]
    (ttft,) = [line for line in text.splitlines() if line.startswith("time to first token, p99")]
    assert ttft.split()[-3:] == ["100.00", "ms", "-"]
    assert "theirs: 3 x [red]no room[/red]" in text
    assert "goodput, requests/s" in text


def test_ranks_and_engines_are_named_where_a_server_has_several():
    parallel = {"ours": {"tp_size": 2, "dp_size": 4}, "theirs": {}}
    stream = io.StringIO()
    print_table({"ours": GOOD, "theirs": BAD}, stream, parallel=parallel)
    (line,) = [line for line in stream.getvalue().splitlines() if line.startswith("ranks")]
    assert line.split()[3:] == ["tp_size", "2,", "dp_size", "4", "1"]
    servers = to_json({"ours": GOOD, "theirs": BAD}, {}, parallel=parallel)["servers"]
    assert (servers["ours"]["tp_size"], servers["ours"]["dp_size"]) == (2, 4)
    assert "tp_size" not in servers["theirs"]
    print_table({"ours": GOOD}, stream := io.StringIO())
    assert "ranks and engines" not in stream.getvalue()


def test_goodput_is_shown_where_there_are_goals():
    assert table_rows(GOOD)["goodput, requests/s"] == "4.00 (100%)"
    assert "goodput, requests/s" not in table_rows(summarise([call()], {}))


def test_json_holds_settings_and_figures():
    document = json.loads(json.dumps(to_json({"ours": GOOD, "theirs": BAD}, {"seed": 3})))
    assert document["settings"] == {"seed": 3}
    assert document["servers"]["ours"]["latencies_ms"]["e2e"]["p99"] == 500.0
    assert document["servers"]["theirs"]["latencies_ms"]["e2e"] is None
    assert document["servers"]["theirs"]["num_failed"] == 3
