"""The picture is well-formed, has a curve per server with values, and hostile names stay text."""

from __future__ import annotations

from xml.etree import ElementTree

from sglite.bench.load.chart import HEIGHT, WIDTH, to_svg

SVG = "{http://www.w3.org/2000/svg}"


def test_a_panel_per_latency_and_a_curve_per_server():
    panels = {
        "ttft": {"a": [0.01, 0.02, 0.5], "b": [0.2]},
        "itl": {"a": [0.0, 1e-9], "b": []},
        "tpot": {"a": [], "b": []},
    }
    root = ElementTree.fromstring(to_svg(panels))
    groups = root.findall(f"{SVG}g")
    assert [len(group.findall(f"{SVG}polyline")) for group in groups] == [2, 1]
    for curve in root.iter(f"{SVG}polyline"):
        points = [tuple(map(float, pair.split(","))) for pair in curve.get("points").split()]
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
        assert points == sorted(points, key=lambda point: (point[0], -point[1]))


def test_names_are_escaped_and_nothing_measured_is_an_empty_picture():
    root = ElementTree.fromstring(to_svg({"e2e": {"<script>&": [1.0]}}))
    assert "<script>&" in [text.text for text in root.iter(f"{SVG}text")]
    ElementTree.fromstring(to_svg({"e2e": {"a": []}}))
