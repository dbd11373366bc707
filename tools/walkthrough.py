"""Runs what the documentation shows and writes what it printed back into the pages.

A page's ```python blocks run in order in one fresh interpreter; a ```text block that follows one
directly is what it printed. A ```console block starts with ``$ sglite ...`` and holds what that
command printed. What differs between machines becomes "…". So the pages show what the code does,
and a test that runs this again notices when they no longer do.

    python -m tools.walkthrough            rewrite the pages and the picture in place
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WALKTHROUGH = ROOT / "docs" / "walkthrough.md"
USING = ROOT / "docs" / "using.md"
LANG = ROOT / "docs" / "lang.md"
TREE_PICTURE = ROOT / "docs" / "img" / "radix-tree.svg"

MARK = "\x1e"
MACHINE = re.compile(r'(?P<name>"e2e_latency": )[0-9.e-]+|^(?P<row>available +).*', re.MULTILINE)

PRELUDE = f"""\
import contextlib, os, shlex, sys, warnings
warnings.simplefilter("error")
for _name in [name for name in os.environ if name.startswith("SGLITE_")]:
    del os.environ[_name]  # options of whoever runs this
sys.path[:0] = [{str(ROOT / "src")!r}, {str(ROOT)!r}]

def _sglite(line):
    from sglite.cli import main
    words = shlex.split(line)[2:]
    merges = words[-1:] == ["2>&1"]
    with contextlib.redirect_stderr(sys.stdout if merges else sys.stderr):
        main(words[: len(words) - merges])

def _mark():
    print({MARK!r}, end="", flush=True)
"""
DRAW_TREE = """
from tools.tree_picture import draw_tree
_picture = draw_tree(cache.tree, tokenizer)
"""
PRINT_TREE = """
_mark()
print(_picture, end="")
"""


class WalkthroughError(Exception):
    """A snippet failed; the message holds the page and what the interpreter said."""


@dataclass(slots=True)
class Block:
    """A fenced block of a page: its lines are ``[first, end)``, without the fences."""

    language: str
    first: int
    end: int


def find_blocks(lines: list[str]) -> list[Block]:
    """All fenced blocks of a page, in order."""
    blocks: list[Block] = []
    is_open = False
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if is_open:
            blocks[-1].end = number
        else:
            blocks.append(Block(line[3:].strip(), number + 1, number + 1))
        is_open = not is_open
    return blocks


def make_script(lines: list[str], blocks: list[Block]) -> str:
    """A program that runs the page, with a mark on standard output before each block's output.

    Where the page shows the picture of the tree, the tree is drawn; the drawing is printed last.
    """
    picture = next((n for n, line in enumerate(lines) if TREE_PICTURE.name in line), None)
    pieces = [PRELUDE]
    is_drawn = picture is None
    for block in blocks:
        if not is_drawn and picture is not None and block.first > picture:
            pieces.append(DRAW_TREE)
            is_drawn = True
        body = lines[block.first : block.end]
        if block.language == "python":
            pieces.append("_mark()\n" + "\n".join(body) + "\n")
        elif block.language == "console":
            pieces.append(f"_mark()\n_sglite({body[0]!r})\n")
    if picture is not None:
        pieces.append(PRINT_TREE)
    return "\n".join(pieces)


def run_script(script: str, page: Path) -> list[str]:
    """What each marked part of ``script`` printed. Raises WalkthroughError where it fails."""
    done = subprocess.run(
        [sys.executable, "-"], input=script, capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode != 0:
        raise WalkthroughError(f"{page.name}: a snippet failed\n{done.stdout}\n{done.stderr}")
    return [MACHINE.sub(_without_value, part) for part in done.stdout.split(MARK)[1:]]


def _without_value(match: re.Match[str]) -> str:
    return f"{match['name'] or match['row']}…"


def fill_in(lines: list[str], blocks: list[Block], outputs: list[str]) -> list[str]:
    """The page with its outputs replaced."""
    filled = list(lines)
    parts = iter(outputs)
    changes: list[tuple[int, int, str]] = []
    for number, block in enumerate(blocks):
        if block.language == "console":
            changes.append((block.first + 1, block.end, next(parts)))
        elif block.language == "python":
            output = next(parts)
            shown = _shown_output(lines, blocks, number)
            if shown is not None:
                changes.append((shown.first, shown.end, output))
            elif output:
                raise WalkthroughError(f"the block at line {block.first} prints; show it: {output}")
    for first, end, output in reversed(changes):
        filled[first:end] = [line.rstrip() for line in output.splitlines()]
    return filled


def _shown_output(lines: list[str], blocks: list[Block], number: int) -> Block | None:
    """The text block that follows block ``number`` with nothing but blank lines between."""
    if number + 1 == len(blocks):
        return None
    block, following = blocks[number], blocks[number + 1]
    between = lines[block.end + 1 : following.first - 1]
    is_output = following.language == "text" and not any(line.strip() for line in between)
    return following if is_output else None


def regenerate() -> dict[Path, str]:
    """The text that each page, and the picture, should have now."""
    texts: dict[Path, str] = {}
    for page in (WALKTHROUGH, USING, LANG):
        lines = page.read_text(encoding="utf-8").splitlines()
        blocks = find_blocks(lines)
        outputs = run_script(make_script(lines, blocks), page)
        if page == WALKTHROUGH:
            texts[TREE_PICTURE] = outputs.pop()
        texts[page] = "\n".join(fill_in(lines, blocks, outputs)) + "\n"
    return texts


def main() -> int:
    """Rewrite what changed."""
    for path, text in regenerate().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
