"""How big the code is, and whether it keeps to the caps.

Prints files, lines, the sizes of functions, the largest of each, lines per package and what the
working tree changes against a commit. Ends with 1 where a cap is broken without an entry below:
every entry names the decision record that allows it, so that an exception costs a page of thought.

    python -m tools.sizes [--against REF]
"""

from __future__ import annotations

import argparse
import ast
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "sglite"
CORE = ("scheduler", "kvcache", "engine")

MAX_CORE_LINES = 3_500  # docs/adr/0015-executors-are-not-the-core.md
MAX_FILE_LINES = 400
MAX_KERNEL_FILE_LINES = 500
MAX_FUNCTION_LINES = 50
MAX_KERNEL_LINES = 80  # a parameter takes a line, and a GPU kernel cannot hand on its registers
MAX_POSITIONAL = 5
MAX_NESTING = 3
MAX_PUBLIC_METHODS = 12

FACADES = "docs/adr/0004-two-facades-are-wide.md"
ALLOWED: dict[str, str] = {
    "kvcache/cache_manager.py::CacheManager": FACADES,
    "llm.py::LLM": FACADES,
}
"""Exceptions: ``path`` or ``path::function`` or ``path::Class`` to the file of its record."""

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)


class Function(NamedTuple):
    """One function or method and what is measured of it."""

    name: str
    lines: int
    positional: int
    nesting: int


class SourceFile(NamedTuple):
    """One file, with its functions and the public methods of each class."""

    path: str
    lines: int
    functions: list[Function]
    public_methods: dict[str, int]

    @property
    def package(self) -> str:
        """First part of the path below ``sglite``; '.' for the modules at the top."""
        return self.path.split("/")[0] if "/" in self.path else "."


def nesting(node: ast.AST, depth: int = 0) -> int:
    """Deepest level of blocks below ``node``; an elif is no deeper, inner functions start anew."""
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode | ast.ClassDef | ast.Lambda):
            continue
        in_else = isinstance(node, ast.If) and node.orelse == [child]
        deeper = isinstance(child, BRANCHES) and not (in_else and isinstance(child, ast.If))
        deepest = max(deepest, nesting(child, depth + deeper))
    return deepest


def code_lines(node: FunctionNode) -> int:
    """Lines from ``def`` to the end, without the docstring: words are not what makes it long."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def measure_function(node: FunctionNode, name: str) -> Function:
    """Sizes of one function; ``self`` and ``cls`` are no parameters."""
    names = [argument.arg for argument in node.args.posonlyargs + node.args.args]
    positional = len([argument for argument in names if argument not in {"self", "cls"}])
    return Function(name, code_lines(node), positional, nesting(node))


def walk_functions(tree: ast.AST, prefix: str = "") -> Iterator[Function]:
    """Every function, named ``Class.method`` or ``outer.inner``."""
    for node in ast.iter_child_nodes(tree):
        name = f"{prefix}{getattr(node, 'name', '')}"
        if isinstance(node, FunctionNode):
            yield measure_function(node, name)
        named = isinstance(node, FunctionNode | ast.ClassDef)
        yield from walk_functions(node, f"{name}." if named else prefix)


def count_public_methods(tree: ast.Module) -> dict[str, int]:
    """Public methods of each class; properties are nouns and do not count."""
    counts = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            methods = [item for item in node.body if isinstance(item, FunctionNode)]
            verbs = [m for m in methods if not m.name.startswith("_") and not m.decorator_list]
            counts[node.name] = len(verbs)
    return counts


def measure(path: Path) -> SourceFile:
    """Sizes of one file."""
    text = path.read_text()
    tree = ast.parse(text)
    return SourceFile(
        path=path.relative_to(PACKAGE).as_posix(),
        lines=len(text.splitlines()),
        functions=list(walk_functions(tree)),
        public_methods=count_public_methods(tree),
    )


def broken_caps(file: SourceFile) -> Iterator[tuple[str, str]]:
    """``(name, what is too big)`` for each broken cap of a file."""
    cap = MAX_KERNEL_FILE_LINES if file.package == "kernels" else MAX_FILE_LINES
    if file.lines > cap:
        yield file.path, f"{file.lines} lines, cap {cap}"
    for function in file.functions:
        name = f"{file.path}::{function.name}"
        longest = MAX_KERNEL_LINES if file.package == "kernels" else MAX_FUNCTION_LINES
        if function.lines > longest:
            yield name, f"{function.lines} lines, cap {longest}"
        # Kernels take what the hardware needs; their callers have a signature of their own.
        if function.positional > MAX_POSITIONAL and file.package != "kernels":
            yield name, f"{function.positional} positional parameters, cap {MAX_POSITIONAL}"
        if function.nesting > MAX_NESTING:
            yield name, f"blocks nested {function.nesting} deep, cap {MAX_NESTING}"
    for class_name, count in file.public_methods.items():
        if count > MAX_PUBLIC_METHODS:
            yield f"{file.path}::{class_name}", f"{count} methods, cap {MAX_PUBLIC_METHODS}"


def problems(files: list[SourceFile]) -> list[str]:
    """What has to be mended: broken caps, a core that is too big, stale or unfounded exceptions."""
    broken = [item for file in files for item in broken_caps(file)]
    found = [f"{name}: {what}" for name, what in broken if name not in ALLOWED]
    stale = set(ALLOWED) - {name for name, _ in broken}
    found += [f"{name}: allowed, but within its cap; drop the entry" for name in sorted(stale)]
    missing = [record for record in ALLOWED.values() if not (ROOT / record).is_file()]
    found += [f"{record}: named as the reason of an exception, not there" for record in missing]
    core = sum(file.lines for file in files if file.package in CORE)
    if core > MAX_CORE_LINES:
        found.append(f"core: {core} lines, cap {MAX_CORE_LINES}")
    return found


def spread(values: list[int]) -> str:
    """``median / p90 / max``."""
    ordered = sorted(values) or [0]
    p90 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))]
    return f"{statistics.median_low(ordered)} / {p90} / {ordered[-1]}"


def report(files: list[SourceFile]) -> None:
    """Print the sizes."""
    functions = [(f.lines, f"{file.path}::{f.name}") for file in files for f in file.functions]
    total = sum(file.lines for file in files)
    packages: Counter[str] = Counter()
    for file in files:
        packages[file.package] += file.lines
    core = sum(packages[name] for name in CORE)
    print(f"sglite: {len(files)} files, {total:,} lines, {len(functions)} functions")
    print(f"  file lines      median / p90 / max  {spread([file.lines for file in files])}")
    print(f"  function lines  median / p90 / max  {spread([lines for lines, _ in functions])}")
    print(f"  core ({' + '.join(CORE)}): {core:,} of {MAX_CORE_LINES:,} lines")
    print("  packages: " + ", ".join(f"{name} {lines:,}" for name, lines in packages.most_common()))
    largest = sorted(((file.lines, file.path) for file in files), reverse=True)[:5]
    print("  largest files: " + ", ".join(f"{path} {lines}" for lines, path in largest))
    longest = sorted(functions, reverse=True)[:5]
    print("  longest functions: " + ", ".join(f"{name} {lines}" for lines, name in longest))


def print_change(ref: str) -> None:
    """Print how many lines the working tree adds and removes against ``ref``, per package."""
    command = ["git", "diff", "--numstat", ref, "--", "src/sglite"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    change: Counter[str] = Counter()
    for added, removed, path in rows:
        if path.endswith(".py"):
            parts = path.split("/")[2:]
            change[parts[0] if len(parts) > 1 else "."] += int(added) - int(removed)
    if change:
        listed = ", ".join(f"{name} {lines:+d}" for name, lines in sorted(change.items()))
        print(f"  against {ref}: {sum(change.values()):+d} lines ({listed})")


def main() -> int:
    """Print the report; 1 where something is over a cap."""
    parser = argparse.ArgumentParser(description="Sizes of the code and their caps.")
    parser.add_argument("--against", default="HEAD", help="commit to compare with")
    arguments = parser.parse_args()
    files = [measure(path) for path in sorted(PACKAGE.rglob("*.py"))]
    report(files)
    print_change(arguments.against)
    found = problems(files)
    for problem in found:
        print(f"  OVER THE CAP {problem}", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
