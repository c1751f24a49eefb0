"""What a course over several dates is: each value's change, its place among peers, and risks."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sciai.core.errors import BadInput
from sciai.health.api.distribution import percent

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Course", "RiskCourse", "Timeline"]

_SURE: Final = 1.96


@dataclass(frozen=True)
class Course:
    """One value over the dates.

    Attributes:
        name: the column.
        label: its name in words.
        unit: UCUM unit of all values here.
        dates: days on which it was measured, in order.
        values: what was measured.
        mean: mean of peers at each date.
        low: 5 % quantile of peers.
        high: 95 % quantile of peers.
        percentile: share of peers below the value, 0 to 100.
        change: last against first, in %; None for one date, and where a limit of detection hides it.
        limit: reference change value in %; None where no variation is known.
        slope: % per year of a straight line through the logarithms; None with fewer than three dates.
        slope_error: its standard error from within-person and analytical variation; None likewise.
        reference: ends of the laboratory's (else the common) reference range; None for an open end.
        bounds: "<" or ">" for each value of which the laboratory gave only a limit, else "".
    """

    name: str
    label: str
    unit: str
    dates: tuple[dt.date, ...]
    values: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    percentile: tuple[float, ...]
    change: float | None
    limit: float | None
    slope: float | None
    slope_error: float | None
    reference: tuple[float | None, float | None] = (None, None)
    bounds: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[str, ...]:
        """The values as the laboratory told them: below a limit of detection as that limit."""
        bounds = self.bounds or ("",) * len(self.values)
        return tuple(
            f"{bound}{value * math.sqrt(2) if bound == '<' else value:.4g}"
            for bound, value in zip(bounds, self.values, strict=True)
        )

    @property
    def changed(self) -> bool | None:
        """Whether the last value differs from the first by more than chance; None where not judged."""
        return None if self.change is None or self.limit is None else abs(self.change) > self.limit

    @property
    def steady_trend(self) -> bool:
        """Whether the line through all dates rises or falls by more than chance."""
        return (
            self.slope is not None
            and self.slope_error is not None
            and abs(self.slope) > _SURE * self.slope_error
        )

    @property
    def verdict(self) -> str:
        """One sentence.

        >>> day = dt.date
        >>> Course("ggt", "GGT", "U/L", (day(2023, 8, 12), day(2024, 5, 18)), (41, 68), (30, 30), (12, 12),
        ...        (90, 90), (70, 90), 65.9, 26.0, None, None).verdict
        'changed by +66 %, more than chance allows (26 %)'
        """
        if self.change is None:
            hidden = "beyond a limit of the laboratory lies the other value, too: a change cannot be told"
            return "measured once" if len(self.values) == 1 else hidden
        if self.limit is None:
            return f"changed by {self.change:+.0f} %; no within-person variation known, so not judged"
        way = "" if not self.steady_trend or self.slope is None else "rising" if self.slope > 0 else "falling"
        if self.changed:
            drift = f"; {way} steadily" if way else ""
            return f"changed by {self.change:+.0f} %, more than chance allows ({self.limit:.0f} %){drift}"
        drift = f", but {way} over all {len(self.values)} dates, by more than chance" if way else ""
        return f"changed by {self.change:+.0f} %, within chance for two values ({self.limit:.0f} %){drift}"


@dataclass(frozen=True)
class RiskCourse:
    """One risk over the dates; None where it could not be told.

    Attributes:
        name: the column.
        label: its name in words.
        dates: the dates.
        risk: at each date.
        low: lower end of the 90 % interval.
        high: upper end.
        peers: risk of peers.
    """

    name: str
    label: str
    dates: tuple[dt.date, ...]
    risk: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    peers: tuple[float | None, ...]


@dataclass(frozen=True)
class Timeline:
    """Every course and every risk over the dates.

    Attributes:
        dates: all dates, in order.
        courses: one for each value of the model that was measured; changed ones first.
        risks: one for each disease that could be told on at least one date.
        peers: who the peers are.
        aside: other tests on the sheets, which the model does not know: name -> the values by date.
    """

    dates: tuple[dt.date, ...]
    courses: tuple[Course, ...]
    risks: tuple[RiskCourse, ...]
    peers: str
    aside: tuple[str, ...] = ()

    def course(self, name: str) -> Course:
        """The course of one column.

        Raises:
            BadInput: where it was not measured.
        """
        for course in self.courses:
            if course.name == name:
                return course
        raise BadInput(f"{name} was not measured", field=name, fix=", ".join(c.name for c in self.courses))

    @property
    def verdict(self) -> str:
        """One sentence."""
        moved = [c.label for c in self.courses if c.changed or c.steady_trend]
        far = [c.label for c in self.courses if c.percentile[-1] < 5 or c.percentile[-1] > 95]
        first = (
            f"changed by more than chance: {', '.join(moved)}"
            if moved
            else "no value changed by more than chance"
        )
        second = f"; last value outside of the middle 90 % of peers: {', '.join(far)}" if far else ""
        return first + second

    def to_frame(self) -> pd.DataFrame:
        """One row for each value and date."""
        import pandas as pd

        rows = [
            {"name": c.name, "label": c.label, "unit": c.unit, "date": c.dates[i], "value": c.values[i],
             "peers_mean": c.mean[i], "peers_low": c.low[i], "peers_high": c.high[i],
             "percentile": c.percentile[i], "change_pct": c.change, "limit_pct": c.limit,
             "verdict": c.verdict}
            for c in self.courses
            for i in range(len(c.dates))
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        lines = [f"peers: {self.peers}", self.verdict]
        lines += [f"{c.label}: {' → '.join(c.shown)} {c.unit}; {c.verdict}" for c in self.courses]
        for risk in self.risks:
            shown = " → ".join("?" if p is None else percent(p) for p in risk.risk)
            lines.append(f"{risk.label}: {shown}")
        return "\n".join(lines)
