"""The figures as a picture: a panel of bars per workload, drawn without a library.

The longer, the faster; for a cold start, which has no rate, the shorter. A dashed line is the rate
that the machine would allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from sglite.bench.suite.figures import OURS, Row
from sglite.bench.suite.report import figure_text
from sglite.bench.suite.workloads import Kind

WIDTH = 760
LABEL_WIDTH, BAR_WIDTH = 130, 400
BAR_HEIGHT, TITLE_HEIGHT, GAP = 18, 26, 12
OUR_COLOUR, PEER_COLOUR = "#1b6ca8", "#b9c3cc"
STYLE = (
    "text{font:12px sans-serif;fill:#333}.title{font-size:13px;font-weight:bold;fill:#111}"
    ".floor{stroke:#d1495b;stroke-width:1.5;stroke-dasharray:4 3}"
)


def to_svg(rows: Sequence[Row]) -> str:
    """The picture. Jobs that nobody finished are left out."""
    shown = [row for row in rows if any(cell.headline_s for cell in row.cells.values())]
    body: list[str] = []
    top = GAP
    for row in shown:
        body += _panel(row, top)
        top += _panel_height(row)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
            f'width="{WIDTH}" height="{top}"><style>{STYLE}</style>',
            '<rect width="100%" height="100%" fill="#fff"/>',
            *body,
            "</svg>\n",
        ]
    )


def _panel_height(row: Row) -> int:
    return TITLE_HEIGHT + BAR_HEIGHT * len(row.cells) + GAP


def _panel(row: Row, top: int) -> list[str]:
    kind = row.job.workload.kind
    bars = {name: _length(kind, cell.headline_s) for name, cell in row.cells.items()}
    floor = None if row.floor_s is None else _length(kind, row.floor_s)
    longest = max([*bars.values(), floor or 0.0])
    note = " (shorter is better)" if kind is Kind.COLD else ""
    parts = [f'<text class="title" x="{GAP}" y="{top + 14}">{escape(row.job.title)}{note}</text>']
    for place, (name, length) in enumerate(bars.items()):
        y = top + TITLE_HEIGHT + place * BAR_HEIGHT
        width = BAR_WIDTH * length / longest
        colour = OUR_COLOUR if name == OURS else PEER_COLOUR
        text = "failed" if not length else figure_text(kind, row.cells[name])
        parts += [
            f'<text x="{LABEL_WIDTH - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="bar" x="{LABEL_WIDTH}" y="{y + 2}" width="{width:.1f}" '
            f'height="{BAR_HEIGHT - 4}" fill="{colour}"/>',
            f'<text x="{LABEL_WIDTH + width + 6:.1f}" y="{y + 13}">{escape(text)}</text>',
        ]
    if floor is not None:
        x = LABEL_WIDTH + BAR_WIDTH * floor / longest
        y1, y2 = top + TITLE_HEIGHT, top + TITLE_HEIGHT + BAR_HEIGHT * len(bars)
        parts.append(f'<line class="floor" x1="{x:.1f}" x2="{x:.1f}" y1="{y1}" y2="{y2}"/>')
    return parts


def _length(kind: Kind, headline_s: float | None) -> float:
    """What a bar shows: speed, of a cold start its seconds; 0 where nothing was measured."""
    if not headline_s:
        return 0.0
    return headline_s if kind is Kind.COLD else 1 / headline_s
