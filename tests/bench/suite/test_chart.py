"""The picture is well-formed, its bars are as long as the figures say, hostile names stay text."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from sglite.bench.suite.chart import BAR_WIDTH, LABEL_WIDTH, to_svg
from sglite.bench.suite.figures import summarise
from tests.bench.suite.outcomes import make_outcome

SVG = "{http://www.w3.org/2000/svg}"


def draw(floors):
    return ElementTree.fromstring(to_svg(summarise(make_outcome(), floors)))


def bars(root):
    return [float(bar.get("width")) for bar in root.iter(f"{SVG}rect") if bar.get("class")]


def test_the_longest_bar_of_a_panel_is_the_fastest():
    full = BAR_WIDTH
    assert bars(draw({})) == pytest.approx([full / 4, full, full, full / 2, full, 0, 0.8 * full])


def test_the_floor_is_a_line_beyond_the_bars():
    root = draw({"W1": 0.1})
    (line,) = root.iter(f"{SVG}line")
    assert float(line.get("x1")) == LABEL_WIDTH + BAR_WIDTH
    assert bars(root)[2] == pytest.approx(BAR_WIDTH / 2), "half of what is possible"


def test_names_are_text_and_failures_are_said():
    texts = [text.text for text in draw({}).iter(f"{SVG}text")]
    assert "<peer>" in texts and "failed" in texts
    assert "W0 cold start to first token (shorter is better)" in texts


def test_nothing_measured_is_an_empty_picture():
    assert bars(ElementTree.fromstring(to_svg([]))) == []
