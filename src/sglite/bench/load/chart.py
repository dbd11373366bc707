"""The latencies of several servers as a picture: how many of the values lie below what.

One panel per latency, one curve per server, milliseconds on a logarithmic axis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from sglite.bench.load.figures import percentile
from sglite.bench.load.report import TITLES

WIDTH, HEIGHT, MARGIN = 360, 220, 44
COLOURS = ("#1b6ca8", "#d1495b", "#3a7d44", "#8a5a9e", "#c77d0a", "#4a4a4a")
NUM_POINTS = 100
STYLE = (
    "text{font:11px sans-serif;fill:#444}.title{font-size:13px;fill:#111}"
    ".grid{stroke:#ddd}.curve{fill:none;stroke-width:1.8}"
)

Series = Mapping[str, Sequence[float]]
"""Values in seconds by server."""


def to_svg(panels: Mapping[str, Series]) -> str:
    """The picture; ``panels`` are keyed by latency. Those without any value are left out."""
    shown = {name: series for name, series in panels.items() if any(series.values())}
    names = list(dict.fromkeys(name for series in shown.values() for name in series))
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    width, height = WIDTH * max(1, len(shown)), HEIGHT + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><style>{STYLE}</style>',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for place, (latency, series) in enumerate(shown.items()):
        parts.append(f'<g transform="translate({place * WIDTH},0)">')
        parts += _panel(TITLES[latency], series, colours)
        parts.append("</g>")
    parts += _legend(colours)
    return "\n".join([*parts, "</svg>\n"])


def _panel(title: str, series: Series, colours: Mapping[str, str]) -> list[str]:
    milliseconds = {name: sorted(1000 * each for each in series[name]) for name in series}
    every = [max(each, 1e-3) for values in milliseconds.values() for each in values]
    low = math.floor(math.log10(min(every)))
    high = max(math.ceil(math.log10(max(every))), low + 1)
    parts = [f'<text class="title" x="{MARGIN}" y="18">{title}, ms</text>']
    for power in range(low, high + 1):
        x = _x(10.0**power, low, high)
        bottom = HEIGHT - MARGIN
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="28" y2="{bottom}"/>')
        label = f"{10.0**power:g}"
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{label}</text>')
    for share in (0.0, 0.5, 0.9, 1.0):
        y = _y(share)
        right = WIDTH - 16
        parts.append(f'<line class="grid" x1="{MARGIN}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for name, values in milliseconds.items():
        if values:
            points = _points(values, low, high)
            parts.append(f'<polyline class="curve" stroke="{colours[name]}" points="{points}"/>')
    return parts


def _points(ordered: Sequence[float], low: int, high: int) -> str:
    shares = [step / NUM_POINTS for step in range(NUM_POINTS + 1)]
    pairs = ((_x(percentile(ordered, share), low, high), _y(share)) for share in shares)
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def _x(value_ms: float, low: int, high: int) -> float:
    share = (math.log10(max(value_ms, 1e-3)) - low) / (high - low)
    return MARGIN + share * (WIDTH - 16 - MARGIN)


def _y(share: float) -> float:
    return HEIGHT - MARGIN - share * (HEIGHT - MARGIN - 32)


def _legend(colours: Mapping[str, str]) -> list[str]:
    parts, x = [], MARGIN
    for name, colour in colours.items():
        parts.append(f'<rect x="{x}" y="{HEIGHT}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="{HEIGHT + 10}">{escape(name)}</text>')
        x += 32 + 7 * len(name)
    return parts
