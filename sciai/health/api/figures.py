"""Pictures of answers: a distribution with the person's place, risks beside peers', values beside peers'."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sciai.health.api.crowd import Crowd
    from sciai.health.api.distribution import Distribution
    from sciai.health.api.risks import RiskList
    from sciai.health.api.typicality import Typicality

__all__ = ["as_data_uri", "crowd_figure", "distribution_figure", "risks_figure", "typicality_figure"]

BLUE: Final = "#2b6cb0"
GREY: Final = "#8a94a6"
RED: Final = "#c53030"


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def distribution_figure(
    told: Distribution, peers: Distribution | None = None, value: float | None = None
) -> Figure:
    """One distribution: density with its 90 % interval, or probabilities of levels.

    Args:
        told: what to draw.
        peers: drawn behind it in grey.
        value: the person's own value, marked with a line.

    >>> from sciai.health.api.distribution import Distribution
    >>> p = {"no": 0.8, "yes": 0.2}
    >>> yes_no = Distribution("a", "A", "", "binary", 0.2, 0.4, (0.1, 0.3), probabilities=p)
    >>> len(distribution_figure(yes_no).axes)
    1
    """
    if told.probabilities:
        return _levels(told, peers)
    figure, axes = _figure(4.6, 2.6)
    if peers is not None and len(peers.grid):
        axes.fill_between(peers.grid, peers.density, color=GREY, alpha=0.35, lw=0, label="peers")
    axes.plot(told.grid, told.density, color=BLUE, label="people like this one")
    low, high = told.interval
    inside = (told.grid >= low) & (told.grid <= high)
    axes.fill_between(told.grid[inside], told.density[inside], color=BLUE, alpha=0.2, lw=0, label="90 %")
    if value is not None:
        axes.axvline(value, color=RED, lw=1.5, label=f"this person: {value:.4g}")
    axes.set_xlabel(f"{told.label} ({told.unit})" if told.unit else told.label)
    axes.set_yticks([])
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _levels(told: Distribution, peers: Distribution | None) -> Figure:
    names = list(told.probabilities)
    figure, axes = _figure(4.6, 0.9 + 0.3 * len(names))
    place = np.arange(len(names))[::-1]
    axes.barh(
        place, [told.probabilities[n] for n in names], height=0.6, color=BLUE, label="people like this one"
    )
    if peers is not None and peers.probabilities:
        axes.plot([peers.probabilities[n] for n in names], place, "D", color=GREY, label="peers")
    if told.kind == "binary":
        axes.plot(told.interval, [place[1]] * 2, color="black", lw=1.5, label="90 %")
    axes.set_yticks(place, names)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"{told.label}: probability")
    axes.legend(frameon=False, fontsize=8)
    return figure


def risks_figure(risks: RiskList) -> Figure:
    """Every risk that can be told with its 90 % interval, beside the peers'.

    Args:
        risks: what ``Person.risks`` answered.

    Raises:
        BadInput: when none can be told.
    """
    shown = [r for r in risks if r.risk is not None and r.low is not None and r.high is not None]
    if not shown:
        raise BadInput("no risk can be told, so there is nothing to draw")
    figure, axes = _figure(6.4, 0.8 + 0.27 * len(shown))
    for place, risk in zip(range(len(shown), 0, -1), shown, strict=True):
        axes.plot(
            [risk.low or 0.0, risk.high or 0.0],
            [place, place],
            color=BLUE,
            lw=4,
            alpha=0.35,
            solid_capstyle="butt",
        )
        axes.plot(
            [risk.risk or 0.0], [place], "o", color=BLUE, label="this person (90 %)" if place == 1 else None
        )
        if risk.peers is not None:
            axes.plot([risk.peers], [place], "D", color=GREY, ms=5, label="peers" if place == 1 else None)
    axes.set_yticks(
        range(len(shown), 0, -1), [r.label.removesuffix(" (ever told)") for r in shown], fontsize=8
    )
    axes.set_xscale("log")
    ticks = [t for t in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0) if t >= min(_ends(shown)) / 2]
    axes.set_xticks(ticks, [f"{100 * t:g} %" for t in ticks])
    axes.minorticks_off()
    axes.grid(axis="x", color="#e2e8f0")
    axes.legend(frameon=False, fontsize=8)
    axes.set_xlabel("ever told by a doctor (reference value, not a diagnosis)", fontsize=8)
    return figure


def _ends(risks: Sequence[Any]) -> list[float]:
    return [max(min(r.low, r.peers or 1.0), 1e-4) for r in risks]


def typicality_figure(told: Typicality) -> Figure:
    """Each value's percentile among peers (grey) and given all other values (blue).

    Args:
        told: what ``Person.unusual`` answered.
    """
    figure, axes = _figure(5.6, 0.8 + 0.27 * len(told.values))
    axes.axvspan(2.5, 97.5, color="#edf2f7", zorder=0)
    for place, value in zip(range(len(told.values), 0, -1), told.values, strict=True):
        axes.plot([value.percentile, value.given_others], [place, place], color="#cbd5e0", zorder=1)
        axes.plot(value.percentile, place, "D", color=GREY, ms=5, label="among peers" if place == 1 else None)
        axes.plot(
            value.given_others, place, "o", color=BLUE, label="given the other values" if place == 1 else None
        )
    axes.set_yticks(range(len(told.values), 0, -1), [v.label for v in told.values], fontsize=8)
    axes.set_xlim(-2, 102)
    axes.set_xlabel("percentile")
    axes.legend(frameon=False, fontsize=8)
    return figure


def crowd_figure(crowd: Crowd) -> Figure:
    """One column: its distribution. Two numbers: their density together, with quartiles of the second.

    Raises:
        BadInput: on more than two columns, or a pair of which one is no number.
    """
    names = list(crowd.table.columns)
    if len(names) == 1:
        return distribution_figure(crowd.distribution(names[0]))
    numeric = list(crowd.table.select_dtypes("number").columns)
    if len(names) != 2 or len(numeric) != 2:
        raise BadInput(f"{len(names)} columns cannot be drawn", field="names", fix="take one, or two numbers")
    x, y = (crowd.table[n].to_numpy(float) for n in names)
    good = np.isfinite(x) & np.isfinite(y)
    figure, axes = _figure(4.8, 3.8)
    axes.hist2d(x[good], y[good], bins=40, weights=crowd.weights[good], cmap="Blues")
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.set_title(crowd.note, fontsize=8)
    return figure


def as_data_uri(figure: Figure) -> str:
    """A picture to embed in HTML."""
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
