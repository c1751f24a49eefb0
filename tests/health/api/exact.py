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
        Column("w_mec", Kind.CONTINUOUS, "1", "design", "Survey weight", low=0.1, high=100, decimals=3),
    ),
    (
        Derived("bmi", "kg/m2", "Body mass index", "BMI", low=10, high=100),
        Derived("non_hdl", "mg/dL", "Non-HDL cholesterol", low=1, high=1000),
    ),
    {"seqn": "number of the person"},
)

YES_NO = ("sex", "rx_insulin", "dx_diabetes", "death_5y")
NUMBERS = tuple(n for n in SCHEMA.names if n not in YES_NO)
SD = np.array([12.0, 7.0, 12.0, 0.6, 30.0, 10.0, 0.8])
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
        if self._p is not None:
            return (rng.random((self.rows, k)) < self._p[:, None]).astype(float)
        state = (rng.random((self.rows, 1, k)) > np.cumsum(self._w, 1)[:, :, None]).sum(1)
        return np.take_along_axis(self._m, state, 1) + self._s * rng.standard_normal((self.rows, k))

    def spread(self) -> Floats:
        return np.zeros(self.rows)


class ExactJoint:
    """The joint of the states above, by enumeration."""

    schema = SCHEMA

    def _posterior(self, rows: Floats) -> tuple[Floats, Floats, Floats, list[int]]:
        """Weights of the states (n, s), means of the unknown numbers (n, s, h), their covariance, places.

        All rows know the same columns.
        """
        numbers = rows[:, [SCHEMA.index(n) for n in NUMBERS]]
        flags = rows[:, [SCHEMA.index(n) for n in YES_NO]]
        seen, hidden = np.flatnonzero(np.isfinite(numbers[0])), np.flatnonzero(np.isnan(numbers[0]))
        inverse = np.linalg.inv(COVARIANCE[np.ix_(seen, seen)])
        gain = COVARIANCE[np.ix_(hidden, seen)] @ inverse
        rest = COVARIANCE[np.ix_(hidden, hidden)] - gain @ COVARIANCE[np.ix_(seen, hidden)]
        centres = np.array([centre(s) for s in STATES])
        gap = numbers[:, None, seen] - centres[None][:, :, seen]
        logs = np.log([share(s) for s in STATES]) - 0.5 * np.einsum("nsi,ij,nsj->ns", gap, inverse, gap)
        fits = (np.isnan(flags)[:, None] | (flags[:, None] == np.array(STATES)[None])).all(-1)
        logs = np.where(fits, logs, -np.inf)
        weights = np.exp(logs - logs.max(1, keepdims=True))
        means = centres[None][:, :, hidden] + gap @ gain.T
        return weights / weights.sum(1, keepdims=True), means, rest, hidden.tolist()

    def predictive(self, known: Floats, targets: Sequence[str]) -> dict[str, Predictive]:
        result: dict[str, Predictive] = {}
        for name in targets:
            rows = np.array(known, float)
            rows[:, SCHEMA.index(name)] = np.nan
            parts: list[tuple[Floats, Told]] = []
            for own in groups(rows):
                weights, means, rest, hidden = self._posterior(rows[own])
                if name in YES_NO:
                    p = weights @ np.array(STATES)[:, YES_NO.index(name)]
                    parts.append((own, Told(SCHEMA[name], weights, np.zeros(weights.shape), 1.0, p)))
                else:
                    k = hidden.index(NUMBERS.index(name))
                    told = Told(SCHEMA[name], weights, means[:, :, k], float(np.sqrt(rest[k, k])), None)
                    parts.append((own, told))
            result[name] = parts[0][1] if len(parts) == 1 else Several(SCHEMA[name], len(rows), parts)
        return result

    def sample(self, known: Floats, rng: np.random.Generator, only: Any = None) -> Floats:
        out = np.array(known, float)
        for own in groups(out):
            weights, means, rest, hidden = self._posterior(out[own])
            k = (rng.random((len(own), 1)) > np.cumsum(weights, 1)).sum(1)
            for j, name in enumerate(YES_NO):
                out[own, SCHEMA.index(name)] = np.array(STATES)[k, j]
            if hidden:
                noise = rng.standard_normal((len(own), len(hidden))) @ np.linalg.cholesky(rest).T
                places = [SCHEMA.index(NUMBERS[h]) for h in hidden]
                out[np.ix_(own, places)] = means[np.arange(len(own)), k] + noise
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
    """Rows that know different columns."""

    def __init__(self, column: Column, rows: int, parts: list[tuple[Floats, Told]]) -> None:
        self.column, self.rows, self._parts = column, rows, parts

    def _each(self, what: str, x: Any = None, split: bool = True) -> Floats:
        v = None if x is None else np.asarray(x, float)
        found = None
        for own, told in self._parts:
            args = () if v is None else (v[own] if split and v.ndim else v,)
            part = getattr(told, what)(*args)
            if found is None:
                found = np.empty((self.rows, *part.shape[1:]))
            found[own] = part
        return found

    def probabilities(self) -> Floats:
        return self._each("probabilities")

    def cdf(self, x: Floats) -> Floats:
        return self._each("cdf", x)

    def log_prob(self, x: Floats) -> Floats:
        return self._each("log_prob", x)

    def quantile(self, p: Floats) -> Floats:
        return self._each("quantile", p, split=False)

    def sample(self, rng: np.random.Generator, k: int = 1) -> Floats:
        found = np.empty((self.rows, k))
        for own, told in self._parts:
            found[own] = told.sample(rng, k)
        return found

    def mean(self) -> Floats:
        return self._each("mean")

    def sd(self) -> Floats:
        return self._each("sd")


def groups(rows: Floats) -> list[Floats]:
    """Places of the rows that know the same columns."""
    found: dict[tuple[bool, ...], list[int]] = {}
    for k, row in enumerate(np.isnan(rows)):
        found.setdefault(tuple(row), []).append(k)
    return [np.array(own) for own in found.values()]


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
