"""Draws a radix tree of cached prefixes as an SVG: one box per page, under its page id."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sglite.kvcache.radix_tree import RadixNode, RadixTree
    from sglite.tokenizer import Tokenizer

BOX_HEIGHT = 26
ROW_HEIGHT = 58
LETTER_WIDTH = 6.7
MARGIN = 16

STYLE = """\
  <style>
    text { font: 11px ui-monospace, monospace; fill: #1f2328 }
    .page { fill: #eaf2ff; stroke: #4078c0 }
    .id { fill: #57606a; font-size: 10px }
    path { stroke: #8c959f; fill: none }
  </style>"""


class Drawing:
    """Boxes and lines placed from left to right, one line of boxes for each leaf."""

    def __init__(self, tokenizer: Tokenizer, page_size: int) -> None:
        self._tokenizer = tokenizer
        self._page_size = page_size
        self.parts: list[str] = []
        self.num_lines = 0
        self.width = 0.0

    def add(self, node: RadixNode, x: float, from_x: float, from_y: float) -> None:
        """Draw ``node``'s edge from ``x`` on, and its children to the right of it."""
        y = MARGIN + 14 + self.num_lines * ROW_HEIGHT
        middle = y + BOX_HEIGHT / 2
        self.parts.append(
            f'  <path d="M{from_x:.0f} {from_y:.0f} C{from_x + 14:.0f} {from_y:.0f} '
            f'{x - 14:.0f} {middle:.0f} {x:.0f} {middle:.0f}"/>'
        )
        for index, page_id in enumerate(node.pages[0]):
            start = index * self._page_size
            label = self._label(node.key[start : start + self._page_size])
            width = LETTER_WIDTH * len(label) + 12
            self._box(x, y, width, label=label, page_id=page_id)
            x += width
        self.width = max(self.width, x)
        for child in node.children.values():
            self.add(child, x + 34, x, middle)
        if not node.children:
            self.num_lines += 1

    def _box(self, x: float, y: float, width: float, *, label: str, page_id: int) -> None:
        self.parts += [
            f'  <rect class="page" x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BOX_HEIGHT}"/>',
            f'  <text x="{x + 6:.0f}" y="{y + 17}" xml:space="preserve">{escape(label)}</text>',
            f'  <text class="id" x="{x + 6:.0f}" y="{y - 4}">page {page_id}</text>',
        ]

    def _label(self, token_ids: list[int]) -> str:
        pieces = [self._tokenizer.piece(token_id) for token_id in token_ids]
        return "·".join(pieces).replace("\n", "⏎").replace(" ", "␣")


def draw_tree(tree: RadixTree, tokenizer: Tokenizer) -> str:
    """An SVG of the tree's default namespace; spaces show as ␣, line ends as ⏎."""
    drawing = Drawing(tokenizer, tree.page_size)
    for child in tree.roots[""].children.values():
        drawing.add(child, MARGIN + 62, MARGIN + 30, MARGIN + 14 + BOX_HEIGHT / 2)
    width = drawing.width + MARGIN
    height = MARGIN + drawing.num_lines * ROW_HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}" role="img" aria-label="the radix tree">',
        STYLE,
        '  <rect width="100%" height="100%" fill="#ffffff"/>',
        f'  <text x="{MARGIN}" y="{MARGIN + 14 + 17}">root</text>',
        *drawing.parts,
        "</svg>",
        "",
    ]
    return "\n".join(lines)
