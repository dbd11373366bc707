from __future__ import annotations

import subprocess
import sys

import pytest

from sglite.bench.gpu_suite import command
from sglite.bench.gpu_suite.page import BEGIN, END
from sglite.bench.gpu_suite.results import (
    DONE,
    Check,
    Figure,
    PartResult,
    read_results,
    write_results,
)
from tests.bench.gpu_suite.bare_machine import NOT_THERE, environment

PARTS = ("machine", "kernels", "offline")
ON_A_GPU = ("attention", "bench.gpu_suite", "device", "engine", "executors", "kernels", "models")
IMPORT_ALL = f"""
import importlib, pkgutil, sys
for name in {ON_A_GPU}:
    package = importlib.import_module(f"sglite.{{name}}")
    for found in pkgutil.walk_packages(package.__path__, f"{{package.__name__}}."):
        if not found.name.rpartition(".")[2].startswith(("triton_", "_")):
            importlib.import_module(found.name)
print(*sys.modules.keys() & set({NOT_THERE}))
"""


def test_a_dry_run_needs_no_more_than_the_core_s_libraries(tmp_path):
    out = tmp_path / "out"
    words = ["--out", str(out), "--dry-run", "--parts", ",".join(PARTS)]
    done = subprocess.run(
        [sys.executable, "-m", "sglite.bench.gpu_suite", *words],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    about, results = read_results(out / "results.json")
    assert [(each.name, each.status) for each in results] == [(name, DONE) for name in PARTS]
    assert about["dry_run"] is True
    assert "## offline" in (out / "summary.md").read_text()
    assert "offline: offline, run 2:" in done.stdout


def test_what_only_a_gpu_runs_can_be_imported_there(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (0, "\n"), done.stdout + done.stderr


@pytest.mark.parametrize("name", ["rich", "pydantic.fields", "sglite.kernels.cpu._cpu"])
def test_a_bare_machine_lacks_what_it_should(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", f"import sglite.kernels.cpu, {name}"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "No module named" in done.stderr


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([PartResult("machine", DONE)], 0),
        ([PartResult("machine", "left out: no room")], 0),
        ([PartResult("machine", "timed out")], 1),
        ([PartResult("machine", DONE, checks=[Check("a", False)])], 1),
    ],
)
def test_exit_code_says_whether_all_is_well(results, code, tmp_path, monkeypatch):
    orders = []

    def supervise(order, on_change):
        orders.append(order)
        on_change(results)
        return results

    monkeypatch.setattr(command, "supervise", supervise)
    assert command.main(["--out", str(tmp_path), "--parts", "machine", "--minutes", "1"]) == code
    assert list(orders[0].parts) == ["machine"] and not orders[0].is_dry_run


def test_an_unknown_part_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main(["--out", str(tmp_path), "--parts", "machine,engine"])
    assert "'engine' is none of machine, kernels" in capsys.readouterr().err


def test_results_are_compared_and_put_on_a_page(tmp_path, capsys):
    for name, value in (("a", 100.0), ("b", 200.0)):
        (tmp_path / name).mkdir()
        part = PartResult("offline", DONE, figures=[Figure("run 1", value, "tok/s")])
        write_results(tmp_path / name, {}, [part])
    paths = [str(tmp_path / name / "results.json") for name in "ab"]
    assert command.main(["compare", *paths]) == 0
    assert "| 2.000 |" in capsys.readouterr().out
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}{END}")
    assert command.main(["page", paths[1], str(page)]) == 0
    assert "| run 1 | 200 tok/s |" in page.read_text()
