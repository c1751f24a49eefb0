"""Small charts as inline SVG: text stays text (any script, selectable), nothing is fetched, print is sharp.

Colours are CSS variables with a fallback, so that a page can restyle them; meaning is never by colour alone.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

__all__ = ["Canvas", "number", "ticks"]

INK = "var(--ink,#1d2733)"
QUIET = "var(--quiet,#5c6875)"
LINE = "var(--line,#dde3e9)"
BAND = "#c9d6e6"
PEER = "#7f93ab"
OWN = "#b4461f"


class Canvas:
    """An SVG that grows by calls, in pixels from the upper left."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height = width, height
        self.parts = [f"<title>{html.escape(title)}</title>"]

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str = LINE, width: float = 1, dash: str = ""
    ) -> None:
        """A straight line."""
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width:g}"{extra}/>'
        )

    def rect(self, x: float, y: float, w: float, h: float, fill: str, *, radius: float = 0) -> None:
        """A filled rectangle."""
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{max(h, 0):.1f}" '
            f'rx="{radius:g}" fill="{fill}"/>'
        )

    def polygon(self, points: Iterable[tuple[float, float]], fill: str, opacity: float = 1) -> None:
        """A filled outline."""
        self.parts.append(f'<polygon points="{_joined(points)}" fill="{fill}" opacity="{opacity:g}"/>')

    def polyline(
        self, points: Iterable[tuple[float, float]], colour: str, width: float = 1.5, dash: str = ""
    ) -> None:
        """A line through points."""
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<polyline points="{_joined(points)}" fill="none" stroke="{colour}" stroke-width="{width:g}"'
            f' stroke-linejoin="round"{extra}/>'
        )

    def dot(self, x: float, y: float, radius: float = 3.2, fill: str = OWN) -> None:
        """A filled circle with a white rim."""
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}" stroke="#fff" stroke-width="1"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 11,
        colour: str = INK,
        anchor: str = "start",
        bold: bool = False,
        room: float = 0,
    ) -> None:
        """Words; cut to a width where ``room`` (pixels) is given."""
        if room:
            words = _cut(words, room, size * (1.08 if bold else 1.0))
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{colour}" text-anchor="{anchor}"'
            f"{weight}>{html.escape(words)}</text>"
        )

    def render(self) -> str:
        """The SVG element."""
        body = "".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:.0f} {self.height:.0f}" '
            f'width="{self.width:.0f}" role="img" style="max-width:100%;height:auto" '
            'font-family="system-ui,-apple-system,Segoe UI,Roboto,Hiragino Sans,Noto Sans CJK JP,'
            f'sans-serif">'
            f"{body}</svg>"
        )


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round numbers in a range.

    >>> ticks(0, 62), ticks(3.1, 4.4, 3), ticks(103, 168, 3)
    ([0.0, 20.0, 40.0, 60.0], [3.5, 4.0], [120.0, 140.0, 160.0])
    """
    if not high > low:
        return [low]
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    steps = [size * m for m in (0.2, 0.5, 1, 2, 5, 10)]
    wide = next(k for k, step in enumerate(steps) if step >= rough * 0.999)
    for step in reversed(steps[: wide + 1]):  # one number is no scale: then finer steps
        first = math.ceil(low / step - 1e-9)
        found = [round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]
        if len(found) > 1:
            break
    return found


def number(value: float) -> str:
    """A value with three figures, large ones without decimals.

    >>> number(0.9), number(118.4), number(5.484), number(12345)
    ('0.9', '118', '5.48', '12345')
    """
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _joined(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _cut(words: str, room: float, size: float) -> str:
    """Shorten to a width; ideographs are about as wide as they are high, Latin letters half of it."""

    def width(text: Sequence[str]) -> float:
        return sum(size * (1.0 if ord(c) > 0x2E80 else 0.54) for c in text)

    if width(words) <= room:
        return words
    while words and width(words + "…") > room:
        words = words[:-1]
    return words.rstrip() + "…"
