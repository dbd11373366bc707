"""Write a checkpoint with random weights: a real architecture and size, no knowledge.

For tests and benchmarks; sglite and transformers load it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sglite.cli.parser import parse_integer
from sglite.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sglite make-model``."""
    parser.add_argument("--out", metavar="DIR", help="directory to write")
    parser.add_argument("--preset", default="tiny", help="tiny, small, or a size such as 0.6b")
    parser.add_argument(
        "--architecture", default="qwen3", help="llama, qwen2, qwen3 (default) or mistral"
    )
    parser.add_argument("--seed", default="0", metavar="INT", help="same seed, same bytes")
    parser.add_argument("--dtype", default="bfloat16", help="float32, bfloat16 or float16")
    parser.add_argument("--num-shards", default="1", metavar="INT", help="files of weights")
    parser.add_argument("--rope-scaling", help="linear, dynamic, yarn or llama3")
    parser.add_argument("--no-tokenizer", action="store_true", help="write no tokenizer")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a key of config.json, the value as JSON (may be repeated)",
    )
    parser.add_argument("--force", action="store_true", help="write into a directory with files")


def run(arguments: argparse.Namespace) -> int:
    """Write the checkpoint and print its directory."""
    with os_errors_named(arguments.out):
        directory = check_directory(arguments.out, force=arguments.force)
    settings = {
        "architecture": arguments.architecture,
        "preset": arguments.preset,
        "seed": parse_integer(arguments.seed, flag="--seed"),
        "dtype": arguments.dtype,
        "num_shards": parse_integer(arguments.num_shards, flag="--num-shards"),
        "rope_scaling": arguments.rope_scaling,
        "with_tokenizer": not arguments.no_tokenizer,
    }
    overrides = read_overrides(arguments.set, settings)
    from sglite.make_model import make_model

    with os_errors_named(arguments.out):
        make_model(directory, **settings, **overrides)
    print(directory)
    return 0


@contextlib.contextmanager
def os_errors_named(out: str | None) -> Iterator[None]:
    """Inside, what the file system refuses becomes a ConfigError with the path and the cause."""
    try:
        yield
    except OSError as error:
        path = error.filename or out
        raise ConfigError(f"--out: {path}: {error.strerror or error}") from error


def check_directory(out: str | None, *, force: bool) -> Path:
    """The directory to write; ConfigError where none is named or it has files already."""
    if not out:
        raise ConfigError("--out DIR says where to write the checkpoint")
    directory = Path(out)
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"--out: {directory} is a file")
    if directory.is_dir() and any(directory.iterdir()) and not force:
        raise ConfigError(f"--out: {directory} is not empty; --force writes into it")
    return directory


def read_overrides(pairs: list[str], settings: dict[str, Any]) -> dict[str, Any]:
    """``["vocab_size=512"] -> {"vocab_size": 512}``; ConfigError where a pair does not parse."""
    overrides: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set: {pair!r:.80} is not KEY=VALUE")
        if key in settings:
            raise ConfigError(f"--set: {key} has a flag of its own")
        try:
            overrides[key] = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"--set: {text!r:.80} is not JSON; quote texts: '\"a\"'") from error
    return overrides
