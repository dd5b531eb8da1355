"""The files of the page: nothing from elsewhere, no text read as HTML, colours that can be read."""

import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[3]
PAGE = REPO / "balancer/page"
CODE = sorted(PAGE.glob("*.js"))
STYLE = (PAGE / "page.css").read_text()
# Text and what it stands on.
PAIRS = [
    *[
        (text, ground)
        for text in ("text", "soft", "stable", "canary", "bad")
        for ground in ("card", "ground")
    ],
    ("good", "good-ground"),
    ("warn", "warn-ground"),
    ("bad", "bad-ground"),
    ("soft", "bad-ground"),
    ("soft", "warn-ground"),
    ("text", "idle-ground"),
    ("text", "field"),
    ("on-bad", "bad"),
    ("on-accent", "stable"),
]


@pytest.mark.parametrize("path", sorted(PAGE.iterdir()), ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path):
    urls = set(
        re.findall(r"(?:https?:)?//[a-z][\w.]+", re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.M))
    )
    assert urls <= {"http://www.w3.org"}, "only the name of SVG"


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_no_text_is_read_as_html_or_code(path):
    risky = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|javascript:"
    assert re.findall(risky, path.read_text()) == []


def test_no_script_or_style_stands_in_the_page_itself():
    html = (PAGE / "page.html").read_text()
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", html) == []
    assert re.findall(r"<script(?![^>]*\ssrc=)", html) == []


def test_every_file_the_page_names_is_there():
    html = (PAGE / "page.html").read_text()
    named = re.findall(r'(?:src|href)="page/([^"]+)"', html)
    named += [name for path in CODE for name in re.findall(r'from "\./([^"]+)"', path.read_text())]
    assert len(named) > 5
    assert [name for name in named if not (PAGE / name).is_file()] == []


def colours(block):
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6})", block))


def luminance(colour):
    """WCAG 2.2, relative luminance."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("pair", PAIRS, ids=" on ".join)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(scheme, pair):
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, flags=re.S)
    known = colours(light) | (colours(dark) if scheme == "dark" else {})
    one, other = sorted((luminance(known[name]) for name in pair), reverse=True)
    assert (one + 0.05) / (other + 0.05) >= 4.5
