"""The loss curve: a picture of every point, or none."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from training.loss_curve import HEIGHT, MARGIN, WIDTH, write_loss_curve

SVG = "{http://www.w3.org/2000/svg}"


def drawn(points: list[tuple[int, float]], path: Path) -> list[tuple[float, float]]:
    """The points of the line, in the picture's units."""
    write_loss_curve(points, path)
    line = ElementTree.parse(path).getroot().find(f"{SVG}polyline")
    assert line is not None
    pairs = [pair.split(",") for pair in line.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in pairs]


def test_every_point_is_drawn_within_the_frame(tmp_path: Path) -> None:
    places = drawn([(50, 8.0), (100, 1.0), (200, 0.02), (400, 0.0)], tmp_path / "loss.svg")
    assert len(places) == 4
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted(y for _, y in places)
    assert all(MARGIN <= x <= WIDTH - MARGIN for x, _ in places)
    assert all(MARGIN <= y <= HEIGHT - MARGIN for _, y in places)


def test_a_tenth_of_the_loss_is_the_same_way_down_anywhere(tmp_path: Path) -> None:
    (_, high), (_, middle), (_, low) = drawn([(1, 10), (2, 1), (3, 0.1)], tmp_path / "loss.svg")
    assert middle - high == pytest.approx(low - middle, abs=0.2)


@pytest.mark.parametrize("points", [[], [(50, 1.0)]])
def test_fewer_than_two_points_are_no_curve(
    points: list[tuple[int, float]], tmp_path: Path
) -> None:
    write_loss_curve(points, tmp_path / "loss.svg")
    assert not (tmp_path / "loss.svg").exists()
