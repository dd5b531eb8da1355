"""A picture of bars, one panel a case: SVG without any library. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
LABEL = 210
VALUE = 90
ROW = 24
HEAD = 44

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 }
  .value, .note { fill: #59636e }
  .paper { fill: #ffffff }
  .bar { fill: #9aa7b5 }
  .ours { fill: #1f6feb }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .value, .note { fill: #9198a1 } .paper { fill: #0d1117 }
    .bar { fill: #57606a } .ours { fill: #4493f8 }
  }
"""


@dataclass(frozen=True)
class Bar:
    """One proxy's value."""

    label: str
    value: float
    ours: bool = False


@dataclass(frozen=True)
class Panel:
    """The bars of one case on one scale that begins at 0."""

    title: str
    unit: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        return HEAD + ROW * len(self.bars)


def draw(title: str, note: str, panels: Sequence[Panel]) -> str:
    """The whole picture; the shortest bar of a panel comes first."""
    top = 56
    parts = []
    for panel in panels:
        parts.append(_panel(panel, top))
        top += panel.height
    height = top + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>\n'
        f'<text class="title" x="12" y="24">{escape(title)}</text>\n'
        f'<text class="note" x="12" y="44">{escape(note)}</text>\n' + "".join(parts) + "</svg>\n"
    )


def _panel(panel: Panel, top: int) -> str:
    longest = max((bar.value for bar in panel.bars), default=0.0)
    lines = [f'<text class="title" x="12" y="{top + 28}">{escape(panel.title)}</text>\n']
    for row, bar in enumerate(sorted(panel.bars, key=lambda bar: bar.value)):
        y = top + HEAD + row * ROW
        width = (WIDTH - LABEL - VALUE) * bar.value / longest if longest else 0.0
        look = "bar ours" if bar.ours else "bar"
        lines.append(
            f'<text x="{LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(bar.label)}</text>'
            f'<rect class="{look}" x="{LABEL}" y="{y}" width="{max(width, 1):.1f}" height="{ROW - 6}"/>'
            f'<text class="value" x="{LABEL + width + 6:.1f}" y="{y + 13}">'
            f"{digits(bar.value)} {escape(panel.unit)}</text>\n"
        )
    return "".join(lines)


def digits(value: float) -> str:
    """Three digits that matter, no more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
