"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; it becomes ``path`` where the block ends without error.

    Otherwise, Ctrl-C included, it is removed, and what ``path`` held before stays.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        with contextlib.suppress(
            OSError
        ):  # such as a full disk: the first error is the one to tell
            unfinished.unlink(missing_ok=True)


def write_json(path: Path, value: dict[str, Any], *, indent: int) -> None:
    """Write ``value`` as JSON with a line end."""
    text = json.dumps(value, indent=indent, ensure_ascii=False) + "\n"
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
