import sys
import types

import pytest

from sglite.cli import bench, main


@pytest.fixture(autouse=True)
def one_benchmark(monkeypatch, tmp_path):
    (tmp_path / "scheduler.py").write_text("def main(argv, *, parser_class): return len(argv)\n")
    (tmp_path / "_private.py").write_text("")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    package = types.ModuleType("sglite.bench")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "sglite.bench", package)
    monkeypatch.delitem(sys.modules, "sglite.bench.scheduler", raising=False)
    yield
    sys.modules.pop("sglite.bench.scheduler", None)


def test_benchmark_gets_the_rest_of_the_line_and_gives_the_code():
    assert main(["bench", "scheduler"]) == 0
    assert main(["bench", "scheduler", "--rows", "4"]) == 2
    assert bench.benchmarks() == ["scheduler"]


def test_unknown_benchmark_is_refused_with_the_choices(capsys):
    assert main(["bench", "schedular"]) == 2
    assert "schedular is not a benchmark; choose from scheduler" in capsys.readouterr().err
    assert main(["bench"]) == 2
    assert "say what to measure: sglite bench scheduler" in capsys.readouterr().err
