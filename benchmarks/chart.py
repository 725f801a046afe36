"""A bar chart as SVG, readable on a light and on a dark page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABELS, VALUES = 760, 170, 60
BAR, GAP, HEAD = 11, 9, 52
COLOURS = ("#8fa8c8", "#2f5f9e")
OURS = ("#f0b07a", "#d2691e")
STYLE = "text { font: 12px system-ui, sans-serif; fill: #222 } .title { font-weight: 600 }"


@dataclass(frozen=True)
class Panel:
    """A title over bars. `rows` has, by label, a value for each of `series`. The bars of the label
    `highlighted` stand out."""

    title: str
    series: Sequence[str]
    rows: Mapping[str, Sequence[float]]
    highlighted: str
    digits: int = 2

    @property
    def row_height(self) -> int:
        return BAR * len(self.series) + GAP

    @property
    def height(self) -> int:
        return HEAD + self.row_height * len(self.rows) + GAP

    def draw(self, top: int) -> list[str]:
        lines = [_text(0, top + 18, self.title, "title")]
        for number, name in enumerate(self.series):
            x = LABELS + 110 * number
            lines.append(_bar(x, top + 28, BAR, COLOURS[number]))
            lines.append(_text(x + BAR + 5, top + 38, name))
        longest = max(value for values in self.rows.values() for value in values)
        y = top + HEAD
        for label, values in self.rows.items():
            colours = OURS if label == self.highlighted else COLOURS
            lines.append(_text(0, y + self.row_height // 2, label))
            for number, value in enumerate(values):
                length = round((WIDTH - LABELS - VALUES) * value / longest, 1)
                lines.append(_bar(LABELS, y + BAR * number, length, colours[number]))
                shown = f"{value:,.{self.digits}f}"
                lines.append(_text(LABELS + length + 5, y + BAR * (number + 1) - 1, shown))
            y += self.row_height
        return lines


def svg(title: str, panels: Sequence[Panel]) -> str:
    height = sum(panel.height for panel in panels) + 2 * GAP
    lines, top = [], GAP
    for panel in panels:
        lines += panel.draw(top)
        top += panel.height
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 0 {WIDTH + 24} {height}"'
            f' width="{WIDTH + 24}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect x="-12" width="{WIDTH + 24}" height="{height}" fill="#fff"/>',
            *lines,
            "</svg>\n",
        ]
    )


def _bar(x: float, y: float, length: float, colour: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{length}" height="{BAR - 1}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{attribute}>{escape(text)}</text>'
