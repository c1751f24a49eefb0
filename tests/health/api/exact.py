"""A body whose every conditional is known exactly: Gaussians, one set for each yes/no state."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import norm

from sciai.core.checkpoint import Card
from sciai.health.api.human import VirtualHuman
from sciai.health.data.columns import Column, Derived, Kind, Schema
from sciai.health.model.calibration import Calibration
from sciai.health.model.interface import Predictive

Floats = Any
NO_YES = ("no", "yes")

SCHEMA = Schema(
    (
        Column("age", Kind.CONTINUOUS, "a", "person", "Age", "年齢", low=20, high=80),
        Column("sex", Kind.BINARY, "1", "person", "Sex", "性別", levels=("female", "male"), codes=("F", "M")),
        Column("height_cm", Kind.CONTINUOUS, "cm", "body", "Height", "身長", low=50, high=250, decimals=1),
        Column("weight_kg", Kind.CONTINUOUS, "kg", "body", "Weight", "体重", low=10, high=350, decimals=1),
        Column("hba1c", Kind.CONTINUOUS, "%", "lab", "HbA1c (NGSP)", low=3, high=20, decimals=1),
        Column("chol_total", Kind.CONTINUOUS, "mg/dL", "lab", "Total cholesterol", low=5, high=1000),
        Column("hdl", Kind.CONTINUOUS, "mg/dL", "lab", "HDL cholesterol", low=5, high=250),
        Column("rx_insulin", Kind.BINARY, "1", "medication", "Insulin", levels=NO_YES, codes=(0, 1)),
        Column(
            "dx_diabetes", Kind.BINARY, "1", "diagnosis", "Diabetes (ever told)", levels=NO_YES, codes=(0, 1)
        ),
        Column("death_5y", Kind.BINARY, "1", "outcome", "Death within 5 years", levels=NO_YES, codes=(0, 1)),
        Column("w_mec", Kind.CONTINUOUS, "1", "design", "Survey weight", low=0.1, high=100),
    ),
    (
        Derived("bmi", "kg/m2", "Body mass index", "BMI", low=10, high=100),
        Derived("non_hdl", "mg/dL", "Non-HDL cholesterol", low=1, high=1000),
    ),
    {"seqn": "number of the person"},
)

YES_NO = ("sex", "rx_insulin", "dx_diabetes", "death_5y")
NUMBERS = tuple(n for n in SCHEMA.names if n not in YES_NO)
SD = np.array([12.0, 7.0, 12.0, 0.6, 30.0, 10.0, 0.3])
CORRELATION = np.array(
    [  # age height weight hba1c chol hdl weight(survey)
        [1.0, -0.2, 0.05, 0.3, 0.2, 0.1, 0.3],
        [-0.2, 1.0, 0.5, -0.1, 0.0, -0.1, 0.0],
        [0.05, 0.5, 1.0, 0.3, 0.1, -0.3, 0.0],
        [0.3, -0.1, 0.3, 1.0, 0.1, -0.2, 0.0],
        [0.2, 0.0, 0.1, 0.1, 1.0, 0.6, 0.0],
        [0.1, -0.1, -0.3, -0.2, 0.6, 1.0, 0.0],
        [0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
    ]
)
COVARIANCE = CORRELATION * np.outer(SD, SD)


def share(state: tuple[int, ...]) -> float:
    """P(sex, insulin, diabetes, death)."""
    _, insulin, diabetes, death = state
    p = 0.5
    p *= 0.2 if diabetes else 0.8
    p *= (0.3 if insulin else 0.7) if diabetes else (0.001 if insulin else 0.999)
    return p * (0.1 if death else 0.9)


def centre(state: tuple[int, ...]) -> Floats:
    """Means of the numbers, shape (7,)."""
    sex, insulin, diabetes, death = state
    base = np.array([50.0, 162.0, 72.0, 5.4, 190.0, 56.0, 3.0])
    base = base + sex * np.array([0.0, 13.0, 13.0, 0.0, -5.0, -10.0, 0.0])
    base = base + diabetes * np.array([10.0, 0.0, 8.0, 1.2, -8.0, -5.0, 0.0])
    return (
        base + insulin * np.array([0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0]) + death * np.array([8.0, *[0.0] * 6])
    )


STATES = list(itertools.product((0, 1), repeat=len(YES_NO)))


class Told:
    """A mixture of normals, or probabilities of no and yes, for n rows."""

    def __init__(self, column: Column, weights: Floats, means: Floats, sd: float, p: Floats | None) -> None:
        self.column, self.rows = column, len(weights)
        self._w, self._m, self._s, self._p = weights, means, sd, p

    def probabilities(self) -> Floats:
        return np.stack([1 - self._p, self._p], 1)

    def cdf(self, x: Floats) -> Floats:
        v = np.asarray(x, float)
        wide = np.broadcast_to(v, (self.rows,))[:, None] if v.ndim < 2 else v
        if self._p is not None:
            found = np.where(wide < 0, 0.0, np.where(wide < 1, 1 - self._p[:, None], 1.0))
        else:
            found = (norm.cdf((wide[:, :, None] - self._m[:, None]) / self._s) * self._w[:, None]).sum(-1)
        return found if v.ndim == 2 else found[:, 0]

    def log_prob(self, x: Floats) -> Floats:
        v = np.broadcast_to(np.asarray(x, float), (self.rows,))
        with np.errstate(divide="ignore"):
            if self._p is not None:
                return np.log(np.where(v == 1, self._p, 1 - self._p))
            return np.log((norm.pdf((v[:, None] - self._m) / self._s) / self._s * self._w).sum(1))

    def quantile(self, p: Floats) -> Floats:
        q = np.asarray(p, float)
        wide = np.broadcast_to(q.reshape(1, -1), (self.rows, q.size))
        if self._p is not None:
            found = (wide > 1 - self._p[:, None]).astype(float)
        else:
            low = np.broadcast_to(self._m.min(1, keepdims=True) - 12 * self._s, wide.shape)
            high = np.broadcast_to(self._m.max(1, keepdims=True) + 12 * self._s, wide.shape)
            for _ in range(60):
                middle = (low + high) / 2
                under = self.cdf(middle) < wide
                low, high = np.where(under, middle, low), np.where(under, high, middle)
            found = high
        return found if q.ndim else found[:, 0]

    def mean(self) -> Floats:
        return self._p if self._p is not None else (self._w * self._m).sum(1)

    def sd(self) -> Floats:
        if self._p is not None:
            return np.sqrt(self._p * (1 - self._p))
        return np.sqrt(self._s**2 + (self._w * self._m**2).sum(1) - self.mean() ** 2)

    def sample(self, rng: np.random.Generator, k: int = 1) -> Floats:
        u = rng.random((self.rows, k))
        return np.stack(
            [self.quantile(u[:, j])[np.arange(self.rows), np.arange(self.rows)] for j in range(k)], 1
        )

    def spread(self) -> Floats:
        return np.zeros(self.rows)


class ExactJoint:
    """The joint of the states above, by enumeration."""

    schema = SCHEMA

    def _posterior(self, row: Floats) -> tuple[Floats, Floats, Floats, list[int]]:
        """Weights of the states, means of the unknown numbers in each, their covariance, their places."""
        numbers = row[[SCHEMA.index(n) for n in NUMBERS]]
        flags = row[[SCHEMA.index(n) for n in YES_NO]]
        seen, hidden = np.flatnonzero(np.isfinite(numbers)), np.flatnonzero(np.isnan(numbers))
        gain = COVARIANCE[np.ix_(hidden, seen)] @ np.linalg.inv(COVARIANCE[np.ix_(seen, seen)])
        rest = COVARIANCE[np.ix_(hidden, hidden)] - gain @ COVARIANCE[np.ix_(seen, hidden)]
        logs, means = [], []
        for state in STATES:
            fits = all(np.isnan(f) or f == s for f, s in zip(flags, state, strict=True))
            m = centre(state)
            gap = numbers[seen] - m[seen]
            fit = -0.5 * gap @ np.linalg.solve(COVARIANCE[np.ix_(seen, seen)], gap) if len(seen) else 0.0
            logs.append(np.log(share(state)) + fit if fits else -np.inf)
            means.append(m[hidden] + gain @ gap)
        weights = np.exp(np.array(logs) - max(logs))
        return weights / weights.sum(), np.array(means), rest, hidden.tolist()

    def predictive(self, known: Floats, targets: Sequence[str]) -> dict[str, Predictive]:
        result: dict[str, Predictive] = {}
        for name in targets:
            rows = np.array(known, float)
            rows[:, SCHEMA.index(name)] = np.nan
            weights, means, sd, p = [], [], 1.0, []
            for row in rows:
                w, m, rest, hidden = self._posterior(row)
                weights.append(w)
                if name in YES_NO:
                    p.append(sum(x for x, s in zip(w, STATES, strict=True) if s[YES_NO.index(name)]))
                    means.append(np.zeros(len(w)))
                else:
                    place = hidden.index(NUMBERS.index(name))
                    means.append(m[:, place])
                    sd = float(np.sqrt(rest[place, place]))
            column = SCHEMA[name]
            one = Told(column, np.array(weights), np.array(means), sd, np.array(p) if p else None)
            result[name] = one if p or len(rows) == 1 else self._mixed(column, rows, one)
        return result

    def _mixed(self, column: Column, rows: Floats, told: Told) -> Told:
        # rows that know different columns have different widths; the class above has one for all
        patterns = {tuple(np.isnan(r)) for r in rows}
        if len(patterns) > 1:
            return Several(column, [self.predictive(r[None], [column.name])[column.name] for r in rows])
        return told

    def sample(self, known: Floats, rng: np.random.Generator) -> Floats:
        out = np.array(known, float)
        for row in out:
            w, m, rest, hidden = self._posterior(row)
            k = rng.choice(len(w), p=w)
            for name, value in zip(YES_NO, STATES[k], strict=True):
                row[SCHEMA.index(name)] = value
            drawn = m[k] + np.linalg.cholesky(rest) @ rng.standard_normal(len(hidden)) if hidden else []
            for place, value in zip(hidden, drawn, strict=True):
                row[SCHEMA.index(NUMBERS[place])] = value
        return out

    def log_prob(
        self, values: Floats, given: Any = None, orders: int = 1, rng: np.random.Generator | None = None
    ) -> Floats:
        fixed = np.zeros(values.shape, bool) if given is None else np.broadcast_to(given, values.shape)
        known, total = np.where(fixed, values, np.nan), np.zeros(len(values))
        for i, name in enumerate(SCHEMA.names):
            for k in np.flatnonzero(np.isfinite(values[:, i]) & ~fixed[:, i]):
                total[k] += self.predictive(known[k : k + 1], [name])[name].log_prob(values[k : k + 1, i])[0]
                known[k, i] = values[k, i]
        return total


class Several(Told):
    """Rows with widths of their own."""

    def __init__(self, column: Column, rows: list[Any]) -> None:
        self.column, self.rows, self._rows, self._p = column, len(rows), rows, None

    def _each(self, what: str, x: Floats) -> Floats:
        v = np.asarray(x, float)
        return np.stack(
            [getattr(r, what)(v[k : k + 1] if v.ndim else v)[0] for k, r in enumerate(self._rows)]
        )

    def cdf(self, x: Floats) -> Floats:
        return self._each("cdf", x)

    def log_prob(self, x: Floats) -> Floats:
        return self._each("log_prob", x)

    def quantile(self, p: Floats) -> Floats:
        return np.stack([r.quantile(p)[0] for r in self._rows])

    def mean(self) -> Floats:
        return np.array([r.mean()[0] for r in self._rows])

    def sd(self) -> Floats:
        return np.array([r.sd()[0] for r in self._rows])


def human(**calibration: Any) -> VirtualHuman:
    """The exact body as a virtual human."""
    card = Card("exact", "health", "A body whose every conditional is known.")
    known = {"people": 500, "trained_on": 5000, "cases": dict.fromkeys(YES_NO, (900, 5000))}
    widths = {n: {"all": 0.9} for n in (*NUMBERS, "bmi", "non_hdl")}
    population = {f"{s}|{a}0s|all": (400, 1.0) for s in ("female", "male") for a in range(2, 9)}
    from sciai.trust.platt import Platt

    risks = {n: Platt(0.0, 1.0, np.eye(2) * 1e-3) for n in YES_NO}
    options = {"widths": widths, "population": population, "risks": risks, **known, **calibration}
    return VirtualHuman(ExactJoint(), card, calibration=Calibration(**options))
