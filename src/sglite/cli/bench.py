"""Measure. `sglite bench NAME` runs sglite.bench.NAME."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Callable

from sglite.cli.parser import CommandParser
from sglite.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The name of a benchmark; everything behind it belongs to the benchmark."""
    names = ", ".join(benchmarks())
    parser.add_argument("name", nargs="?", metavar="NAME", help=names or "none yet")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def benchmarks() -> list[str]:
    """Names of the modules of ``sglite.bench`` that have a ``main``."""
    package = importlib.import_module("sglite.bench")
    modules = pkgutil.iter_modules(package.__path__)
    names = [module.name for module in modules if not module.ispkg]  # packages are their parts
    return sorted(name for name in names if not name.startswith("_"))


def run(arguments: argparse.Namespace) -> int:
    """Run the benchmark with the rest of the command line."""
    if arguments.name is None:
        raise ConfigError(f"say what to measure: sglite bench {' | '.join(benchmarks())}")
    name = arguments.name.replace("-", "_")
    main = _find_main(name)
    if main is None:
        choices = ", ".join(benchmarks())
        raise ConfigError(f"{arguments.name} is not a benchmark; choose from {choices}")
    return main(arguments.rest, parser_class=CommandParser) or 0


def _find_main(name: str) -> Callable[..., int | None] | None:
    if name not in benchmarks():
        return None
    module = importlib.import_module(f"sglite.bench.{name}")
    return getattr(module, "main", None)
