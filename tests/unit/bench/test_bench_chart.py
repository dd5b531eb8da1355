"""The picture."""

import xml.etree.ElementTree as ET

from bench.balancer.chart import LABEL, VALUE, WIDTH, Bar, Panel, digits, draw

SVG = "{http://www.w3.org/2000/svg}"


def bars(picture):
    return [one for one in ET.fromstring(picture).iter(f"{SVG}rect") if "bar" in one.get("class")]


def test_the_shortest_bar_comes_first_and_lengths_are_in_proportion():
    drawn = bars(draw("t", "n", [Panel("p", "µs", [Bar("slow", 40), Bar("ours", 10, ours=True)])]))
    assert [float(bar.get("width")) for bar in drawn] == [(WIDTH - LABEL - VALUE) / 4, WIDTH - LABEL - VALUE]
    assert [bar.get("class") for bar in drawn] == ["bar ours", "bar"]


def test_nothing_is_drawn_outside_the_picture():
    picture = draw("t", "n", [Panel(f"p{n}", "ms", [Bar("a", 1), Bar("b", 2)]) for n in range(5)])
    height = float(ET.fromstring(picture).get("height"))
    tops = [float(bar.get("y")) for bar in bars(picture)]
    assert len(tops) == 10
    assert tops == sorted(tops)
    assert max(float(bar.get("y")) + float(bar.get("height")) for bar in bars(picture)) <= height


def test_names_are_text_and_not_markup():
    picture = draw("<b>", "&", [Panel("a < b", "µs", [Bar("<script>", 1)])])
    texts = [one.text for one in ET.fromstring(picture).iter(f"{SVG}text")]
    assert texts[:4] == ["<b>", "&", "a < b", "<script>"]


def test_a_panel_without_bars_or_with_zeros_is_drawn():
    assert bars(draw("t", "n", [Panel("none", "µs", [])])) == []
    assert len(bars(draw("t", "n", [Panel("zero", "µs", [Bar("a", 0.0)])]))) == 1


def test_three_digits_matter():
    assert [digits(value) for value in (1049.4, 356.1, 20.44, 1.449)] == ["1,049", "356", "20.4", "1.45"]
