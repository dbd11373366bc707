"""Every kernel compiles for a Hopper GPU within its means, and the page lists them all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

from tools.gpu_kernels import page
from tools.gpu_kernels.compiling import MAX_SHARED_BYTES, Usage

ROOT = Path(__file__).resolve().parents[3]
PAGE = page.PAGE.read_text(encoding="utf-8")
LINE = re.compile(r"^\| ([^|]+?) \| \d+ \| \d+ \| [\d.]+ KiB \| \d+ \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def compiled() -> subprocess.CompletedProcess[str]:
    """The tool's own run. A process of its own: what the interpreter has taken is not compiled."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    command = [sys.executable, "-m", "tools.gpu_kernels", "--show"]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_no_kernel_spills_registers_or_wants_more_memory_than_there_is(compiled):
    assert compiled.returncode == 0, compiled.stderr


def test_page_lists_the_kernels_that_are_compiled(compiled):
    names = LINE.findall(compiled.stdout)
    assert len(names) > 10, compiled.stdout + compiled.stderr
    assert LINE.findall(PAGE) == names, "run: python -m tools.gpu_kernels"


def test_every_family_of_kernels_lists_its_variants():
    folder = Path(page.__file__).parent
    files = {file.stem for file in folder.glob("*.py")}
    assert files - {"__init__", "__main__", "compiling", "page"} == set(page.FAMILIES)
    kernels = {file.parent.name for file in (ROOT / "src/sglite/kernels").glob("*/triton_*.py")}
    listed = " ".join((folder / f"{name}.py").read_text() for name in page.FAMILIES)
    assert {name for name in kernels if f"sglite.kernels.{name} " not in listed} == set()


def test_a_kernel_that_takes_too_much_fails_and_is_named(monkeypatch, capsys):
    monkeypatch.setattr(page, "all_variants", lambda: [type("Variant", (), {"name": "greedy"})])
    for usage, code in ((Usage(255, 8, 0, 0), 1), (Usage(255, 0, 0, 0), 0)):
        monkeypatch.setattr(page, "compile_variant", lambda variant, usage=usage: usage)
        assert page.main(["--show"]) == code
    output = capsys.readouterr()
    assert output.err.count("greedy: takes more than there is") == 1
    assert "| greedy | 255 | 8 | 0.0 KiB | 0 |" in output.out


def test_shared_memory_has_a_limit_of_its_own():
    assert not Usage(32, 0, MAX_SHARED_BYTES, 0).is_too_much
    assert Usage(32, 0, MAX_SHARED_BYTES + 1, 0).is_too_much


def test_the_table_replaces_what_stood_between_its_markers_alone():
    old = f"before\n{page.BEGIN}\nstale\n{page.END}\nafter\n"
    assert page.with_table(old, "new") == f"before\n{page.BEGIN}\nnew\n{page.END}\nafter\n"
