"""The command line of the suite."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sglite import __version__
from sglite.bench.gpu_suite.compare import ratio_table
from sglite.bench.gpu_suite.page import write_page
from sglite.bench.gpu_suite.part_table import PARTS
from sglite.bench.gpu_suite.results import (
    DONE,
    PartResult,
    part_path,
    read_results,
    write_results,
)
from sglite.bench.gpu_suite.summary import to_markdown
from sglite.bench.gpu_suite.supervisor import Order, supervise

PROG = "python -m sglite.bench.gpu_suite"
CLOSING_S = 10.0
"""Left at the end for the summary."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suite, or ``compare`` two results, or write a result into a ``page``."""
    words = [*(sys.argv[1:] if argv is None else argv)]
    if words[:1] == ["compare"]:
        return compare(words[1:])
    if words[:1] == ["page"]:
        return page(words[1:])
    return run(words)


def compare(words: Sequence[str]) -> int:
    """Print how many times faster the second result is."""
    parser = argparse.ArgumentParser(prog=f"{PROG} compare", description=compare.__doc__)
    parser.add_argument("before", type=Path, help="results.json of the earlier run")
    parser.add_argument("after", type=Path, help="results.json of the later run")
    arguments = parser.parse_args(words)
    print(ratio_table(read_results(arguments.before)[1], read_results(arguments.after)[1]))
    return 0


def page(words: Sequence[str]) -> int:
    """Write a result between the markers of a Markdown page."""
    parser = argparse.ArgumentParser(prog=f"{PROG} page", description=page.__doc__)
    parser.add_argument("results", type=Path, help="results.json of a run")
    parser.add_argument("page", type=Path, help="docs/benchmarks/gpu.md")
    arguments = parser.parse_args(words)
    write_page(arguments.page, *read_results(arguments.results))
    return 0


def run(words: Sequence[str]) -> int:
    """Run the parts; 1 where one failed, timed out, or found something wrong."""
    parser = argparse.ArgumentParser(prog=PROG, description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory for the results")
    parser.add_argument("--dry-run", action="store_true", help="toy sizes on the CPU, in seconds")
    parser.add_argument("--parts", default="", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--minutes", type=float, default=9.0, help="at most (default 9)")
    arguments = parser.parse_args(words)
    names = arguments.parts.split(",") if arguments.parts else [*PARTS]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        parser.error(f"--parts: {unknown[0]!r} is none of {', '.join(PARTS)}")
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        part_path(out, name).unlink(missing_ok=True)
    about = {
        "sglite": __version__,
        "date": time.strftime("%Y-%m-%d"),
        "dry_run": arguments.dry_run or None,
    }
    order = Order(
        out=out,
        parts={name: PARTS[name] for name in names},
        ends_at_s=time.time() + 60 * arguments.minutes - CLOSING_S,
        is_dry_run=arguments.dry_run,
    )

    def write(results: list[PartResult]) -> None:
        write_results(out, about, results)
        (out / "summary.md").write_text(to_markdown(about, results), encoding="utf-8")

    results = supervise(order, write)
    print((out / "summary.md").read_text(encoding="utf-8"))
    is_whole = all(result.status == DONE or _is_left_out(result) for result in results)
    return 0 if is_whole and not any(result.failed_checks for result in results) else 1


def _is_left_out(result: PartResult) -> bool:
    return result.status.startswith("left out")
