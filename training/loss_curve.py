"""The loss curve as an SVG file, drawn without a plotting library."""

from __future__ import annotations

import math
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 720, 320, 48


def write_loss_curve(points: list[tuple[int, float]], path: Path) -> None:
    """Draws (step, loss) points with a logarithmic loss axis; nothing for fewer than two points."""
    if len(points) < 2:
        return
    logs = [math.log10(max(loss, 1e-4)) for _, loss in points]
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    last_step = points[-1][0]

    def x(step: int) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * step / last_step

    def y(log: float) -> float:
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (log - low) / max(high - low, 1)

    line = " ".join(f"{x(p[0]):.1f},{y(log):.1f}" for p, log in zip(points, logs, strict=True))
    grid = [_grid_line(y(power), f"{10.0**power:g}") for power in range(low, high + 1)]
    steps = [
        _label(x(step), HEIGHT - MARGIN + 18, f"{step:,}", "middle")
        for step in (0, last_step // 2, last_step)
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *grid,
        *steps,
        _label(WIDTH / 2, HEIGHT - 8, "training step", "middle"),
        _label(MARGIN, MARGIN - 16, "loss on the answers' tokens (nats)", "start"),
        f'<polyline points="{line}" fill="none" stroke="#2060c0" stroke-width="1.5"/>',
        "</svg>",
    ]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _grid_line(y: float, text: str) -> str:
    line = f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
    return line + _label(MARGIN - 6, y + 4, text, "end")


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
