"""The pictures of a health report: risks beside peers', values among peers, courses over dates."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from sciai.health.api.distribution import percent
from sciai.health.api.report_svg import BAND, INK, LINE, OWN, PEER, QUIET, Canvas, number, ticks

if TYPE_CHECKING:
    from sciai.health.api.course import Course, RiskCourse
    from sciai.health.api.distribution import Distribution
    from sciai.health.api.risks import Risk

__all__ = ["course_grid", "peer_grid", "risk_bars", "risk_courses"]

_WIDE = 1060.0
_ACROSS = 4
_CELL = (_WIDE - 3 * 16) / _ACROSS


def risk_bars(risks: Sequence[Risk]) -> str:
    """Each risk with its 90 % interval above its peers' risk, as an SVG.

    Args:
        risks: those that were estimated.
    """
    row, top, left, right = 34.0, 30.0, 270.0, 250.0
    canvas = Canvas(_WIDE, top + row * len(risks) + 26, "Risks beside those of peers")
    most = max((max(r.high or 0, r.peers or 0, r.risk or 0) for r in risks), default=0.1)
    most = min(1.0, max(0.05, 1.05 * most))
    scale = (_WIDE - left - right) / most

    def x(p: float) -> float:
        return left + scale * p

    bottom = top + row * len(risks)
    for tick in ticks(0, most, 5):
        canvas.line(x(tick), top - 6, x(tick), bottom)
        canvas.text(x(tick), bottom + 16, f"{100 * tick:.3g} %", anchor="middle", colour=QUIET)
    _legend(canvas, left)
    for place, risk in enumerate(risks):
        y = top + row * place
        if place:
            canvas.line(0, y, _WIDE, y, LINE, 0.6)
        canvas.text(left - 12, y + 20, _short_label(risk.label), size=12.5, anchor="end", room=left - 16)
        if risk.risk is not None:
            canvas.rect(left, y + 7, scale * risk.risk, 9, OWN, radius=1.5)
            if risk.low is not None and risk.high is not None:
                canvas.line(x(risk.low), y + 11.5, x(risk.high), y + 11.5, INK, 1.4)
                for end in (risk.low, risk.high):
                    canvas.line(x(end), y + 8, x(end), y + 15, INK, 1.4)
        if risk.peers is not None:
            canvas.rect(left, y + 19, scale * risk.peers, 7, PEER, radius=1.5)
        canvas.text(_WIDE - right + 14, y + 20, _in_figures(risk), size=12, room=right - 14)
    return canvas.render()


def _legend(canvas: Canvas, left: float) -> None:
    canvas.rect(left, 4, 14, 9, OWN, radius=1.5)
    canvas.text(left + 20, 12.5, "this person, with the 90 % interval", colour=QUIET)
    canvas.rect(left + 226, 5, 14, 7, PEER, radius=1.5)
    canvas.text(left + 246, 12.5, "peers", colour=QUIET)


def _in_figures(risk: Risk) -> str:
    if risk.risk is None or risk.low is None or risk.high is None:
        return risk.status
    beside = f" · peers {percent(risk.peers)} · ×{risk.ratio:.1f}" if risk.peers and risk.ratio else ""
    interval = f"{_bare(risk.low)}–{_bare(risk.high)}"
    return f"{percent(risk.risk)} ({interval}){beside}"


def _bare(p: float) -> str:
    return percent(p).removesuffix(" %")


def peer_grid(
    told: Mapping[str, Distribution],
    values: Mapping[str, float],
    references: Mapping[str, tuple[float | None, float | None]],
) -> str:
    """Where each value lies in the distribution of peers, as an SVG of small charts.

    Args:
        told: column -> distribution among peers; must have a density.
        values: column -> the person's value.
        references: column -> ends of the reference range; may lack columns.
    """
    names = [name for name in values if name in told and len(told[name].grid) > 1]
    height = 118.0
    rows = math.ceil(len(names) / _ACROSS)
    canvas = Canvas(_WIDE, rows * (height + 14) + 20, "Values among peers")
    canvas.line(6, 8, 20, 8, OWN, 2.5)
    canvas.text(26, 12, "this person", colour=QUIET)
    canvas.rect(110, 3, 14, 9, BAND)
    canvas.text(130, 12, "peers (darker: their middle 90 %)", colour=QUIET)
    canvas.line(330, 8, 350, 8, QUIET, 3)
    canvas.text(356, 12, "reference range", colour=QUIET)
    for place, name in enumerate(names):
        left = (place % _ACROSS) * (_CELL + 16)
        top = 22 + (place // _ACROSS) * (height + 14)
        _peers(canvas, left, top, told[name], values[name], references.get(name, (None, None)))
    return canvas.render()


def _peers(
    canvas: Canvas,
    left: float,
    top: float,
    told: Distribution,
    value: float,
    reference: tuple[float | None, float | None],
) -> None:
    low, high = _range(told, value)
    room, floor, ceiling = _CELL, top + 92, top + 40

    def x(v: float) -> float:
        return left + room * (min(max(v, low), high) - low) / (high - low)

    inside = [
        (g, d) for g, d in zip(told.grid.tolist(), told.density.tolist(), strict=True) if low <= g <= high
    ]
    peak = max((d for _, d in inside), default=1.0) or 1.0

    def y(d: float) -> float:
        return floor - (floor - ceiling) * d / peak

    outline = [(x(g), y(d)) for g, d in inside]
    if outline:
        canvas.polygon([(outline[0][0], floor), *outline, (outline[-1][0], floor)], "#e4ebf3")
        middle = [
            (x(g), y(d))
            for g, d in inside
            if told.quantiles.get(0.05, low) <= g <= told.quantiles.get(0.95, high)
        ]
        if middle:
            canvas.polygon([(middle[0][0], floor), *middle, (middle[-1][0], floor)], BAND)
    canvas.line(left, floor, left + room, floor, QUIET, 0.8)
    start, end = reference
    if start is not None or end is not None:
        canvas.line(
            x(low if start is None else start),
            floor + 4,
            x(high if end is None else end),
            floor + 4,
            QUIET,
            3,
        )
    for tick in ticks(low, high, 3):
        canvas.text(x(tick), floor + 18, number(tick), size=9.5, anchor="middle", colour=QUIET)
    canvas.line(x(value), ceiling - 6, x(value), floor + 1, OWN, 2.5)
    percentile = told.percentile(value)
    canvas.text(left, top + 12, told.label, size=12, bold=True, room=room)
    share = "" if math.isnan(percentile) else f" · above {percentile:.0f} % of peers"
    canvas.text(left, top + 27, f"{number(value)} {_unit(told.unit)}{share}", size=11, colour=INK, room=room)


def _range(told: Distribution, value: float) -> tuple[float, float]:
    """What to show: nearly all peers, and the value, with a margin."""
    low = told.quantiles.get(0.025, float(told.grid[0]))
    high = told.quantiles.get(0.975, float(told.grid[-1]))
    width = high - low or abs(high) or 1.0
    first, last = min(low - 0.25 * width, value), max(high + 0.35 * width, value)
    pad = 0.04 * (last - first)
    return max(first - pad, float(told.grid[0])) if value >= told.grid[0] else first - pad, last + pad


def course_grid(courses: Sequence[Course]) -> str:
    """Each value over the dates, against mean and 90 % band of peers, as an SVG of small charts."""
    across = 3
    cell = (_WIDE - (across - 1) * 26) / across
    height = 176.0
    rows = math.ceil(len(courses) / across)
    canvas = Canvas(_WIDE, rows * (height + 20) + 22, "Courses over the dates")
    canvas.dot(12, 8)
    canvas.text(22, 12, "this person", colour=QUIET)
    canvas.rect(106, 2, 16, 11, BAND)
    canvas.line(106, 7.5, 122, 7.5, PEER, 1.6)
    canvas.text(128, 12, "peers: mean and middle 90 %", colour=QUIET)
    canvas.rect(310, 2, 16, 11, "#f3ddcf")
    canvas.text(332, 12, "first value ± what chance does to it", colour=QUIET)
    for place, course in enumerate(courses):
        left = (place % across) * (cell + 26)
        top = 26 + (place // across) * (height + 20)
        _course(canvas, left, top, cell, height, course)
    return canvas.render()


def _course(canvas: Canvas, left: float, top: float, width: float, height: float, course: Course) -> None:
    edge = 40.0
    first, last = course.dates[0], course.dates[-1]
    days = max((last - first).days, 1)
    room, ceiling, floor = width - edge - 10, top + 44, top + height - 20
    limit = (course.limit or 0.0) / 100 * course.values[0]
    shown = [*course.values, *course.low, *course.high]
    if course.limit is not None and len(course.values) > 1:
        shown += [course.values[0] - limit, course.values[0] + limit]
    shown = [v for v in shown if math.isfinite(v)]
    low, high = min(shown), max(shown)
    pad = 0.06 * (high - low or 1.0)
    low, high = max(low - pad, 0.0) if low >= 0 else low - pad, high + pad

    def x(day: dt.date) -> float:
        return left + edge + room * (0.5 if len(course.dates) == 1 else (day - first).days / days)

    def y(value: float) -> float:
        return floor - (floor - ceiling) * (value - low) / (high - low)

    xs = [x(day) for day in course.dates]
    if len(xs) == 1:
        xs = [left + edge, left + edge + room]
    lows, highs, means = ([*v] if len(v) > 1 else [*v, *v] for v in (course.low, course.high, course.mean))
    band = [(a, y(v)) for a, v in zip(xs, highs, strict=True)]
    band += [(a, y(v)) for a, v in reversed(list(zip(xs, lows, strict=True)))]
    canvas.polygon(band, BAND, 0.75)
    if course.limit is not None and len(course.values) > 1:
        a, b = y(course.values[0] + limit), y(max(course.values[0] - limit, low))
        canvas.polygon([(xs[0], a), (xs[-1], a), (xs[-1], b), (xs[0], b)], "#f3c7ab", 0.42)
    canvas.polyline([(a, y(v)) for a, v in zip(xs, means, strict=True)], PEER, 1.6)
    for tick in ticks(low, high, 3):
        canvas.text(left + edge - 6, y(tick) + 3.5, number(tick), size=9.5, anchor="end", colour=QUIET)
        canvas.line(left + edge - 3, y(tick), left + edge, y(tick), QUIET, 0.8)
    canvas.line(left + edge, ceiling - 2, left + edge, floor, QUIET, 0.8)
    points = [(x(day), y(v)) for day, v in zip(course.dates, course.values, strict=True)]
    canvas.polyline(points, OWN, 2)
    for px, py in points:
        canvas.dot(px, py)
    _dates(canvas, course.dates, x, floor + 13)
    canvas.text(left, top + 11, f"{course.label}, {_unit(course.unit)}", size=12, bold=True, room=width)
    mark = "▲ " if course.changed or course.steady_trend else ""
    values = " → ".join(course.shown[-4:])
    canvas.text(left, top + 25, values, size=11, room=width)
    colour = OWN if mark else QUIET
    canvas.text(left, top + 38, f"{mark}{_short(course)}", size=10.5, colour=colour, room=width)


def _short(course: Course) -> str:
    if course.change is None:
        return "measured once"
    if course.limit is None:
        return f"{course.change:+.0f} %; not judged (no variation known)"
    steady = ""
    if course.steady_trend and course.slope is not None:
        steady = ", rising steadily" if course.slope > 0 else ", falling steadily"
    if not course.changed and steady:
        return f"{course.change:+.0f} % (±{course.limit:.0f} % is chance){steady}"
    sign = "more than" if course.changed else "within"
    return f"{course.change:+.0f} %, {sign} chance (±{course.limit:.0f} %){steady}"


def risk_courses(courses: Sequence[RiskCourse]) -> str:
    """Risks over the dates with their intervals, beside peers', as an SVG of small charts."""
    across = 4
    cell = (_WIDE - (across - 1) * 22) / across
    height = 130.0
    rows = math.ceil(len(courses) / across)
    canvas = Canvas(_WIDE, rows * (height + 18) + 18, "Risks over the dates")
    for place, course in enumerate(courses):
        left = (place % across) * (cell + 22)
        top = 4 + (place // across) * (height + 18)
        _risk_course(canvas, left, top, cell, height, course)
    return canvas.render()


def _risk_course(
    canvas: Canvas, left: float, top: float, width: float, height: float, course: RiskCourse
) -> None:
    edge, ceiling, floor = 34.0, top + 34, top + height - 18
    room = width - edge - 8
    first, days = course.dates[0], max((course.dates[-1] - course.dates[0]).days, 1)
    known = [v for part in (course.risk, course.high, course.peers) for v in part if v is not None]
    high = 1.08 * max(known, default=0.1)

    def x(day: dt.date) -> float:
        return left + edge + room * (day - first).days / days

    def y(p: float) -> float:
        return floor - (floor - ceiling) * p / high

    for tick in ticks(0, high, 3):
        canvas.line(left + edge, y(tick), left + width - 8, y(tick), LINE, 0.8)
        canvas.text(left + edge - 5, y(tick) + 3.5, f"{100 * tick:.3g}", size=9.5, anchor="end", colour=QUIET)
    canvas.polyline(
        [(x(d), y(p)) for d, p in zip(course.dates, course.peers, strict=True) if p is not None],
        PEER,
        1.6,
        "4 3",
    )
    points = []
    for day, p, low, top_end in zip(course.dates, course.risk, course.low, course.high, strict=True):
        if p is None:
            continue
        points.append((x(day), y(p)))
        if low is not None and top_end is not None:
            canvas.line(x(day), y(low), x(day), y(top_end), OWN, 1.2)
    canvas.polyline(points, OWN, 2)
    for px, py in points:
        canvas.dot(px, py, 2.8)
    _dates(canvas, course.dates, x, floor + 13)
    canvas.text(left, top + 11, _short_label(course.label), size=11.5, bold=True, room=width)
    last = next((p for p in reversed(course.risk) if p is not None), None)
    beside = next((p for p in reversed(course.peers) if p is not None), None)
    words = f"% · last {percent(last)}" if last is not None else ""
    canvas.text(
        left, top + 25, words + (f", peers {percent(beside)}" if beside else ""), size=10.5, colour=QUIET
    )


def _short_label(label: str) -> str:
    """Every caption says that diagnoses are "ever told"; the labels need not."""
    return label.removesuffix(" (ever told)")


def _dates(canvas: Canvas, dates: Sequence[dt.date], place: Callable[[dt.date], float], y: float) -> None:
    """First and last date; those between as ticks."""
    for day in dates:
        canvas.line(place(day), y - 13, place(day), y - 9, QUIET, 0.8)
    ends = [(dates[0], "start")] if len(dates) > 1 else [(dates[0], "middle")]
    if len(dates) > 1:
        ends.append((dates[-1], "end"))
    for day, anchor in ends:
        canvas.text(
            place(day),
            y,
            f"{day:%Y-%m}" if len(dates) > 1 else f"{day}",
            size=9.5,
            anchor=anchor,
            colour=QUIET,
        )


def _unit(unit: str) -> str:
    """A UCUM unit as people write it.

    >>> _unit("10*6/uL"), _unit("mL/min/{1.73_m2}"), _unit("mm[Hg]")
    ('10⁶/µL', 'mL/min/1.73 m²', 'mmHg')
    """
    if unit in ("", "1"):
        return ""
    text = unit.replace("uL", "µL").replace("ug", "µg").replace("umol", "µmol").replace("mm[Hg]", "mmHg")
    text = text.replace("10*3", "10³").replace("10*6", "10⁶").replace("{1.73_m2}", "1.73 m²")
    return text.replace("m2", "m²").replace("{", "").replace("}", "")
