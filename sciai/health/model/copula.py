"""A Gaussian copula with exact conditionals: the baseline, and the anchor of the neural model.

Every value becomes a normal score: of its place in the column's margin for numbers, the mean of a standard
normal over the level's interval for binary and ordinal columns; each level of a categorical column has a
score of its own. Scores have mean 0 and variance 1; S is their correlation. Given the scores of known
columns, a hidden column's latent normal has the mean and variance of linear regression; since a level's
score g = E[l | level] varies less than its latent l does, cov(l, x) = cov(g, x) / sd(g) (Stein's lemma),
which undoes the attenuation. For continuous columns this is the Gaussian copula, exactly; for others its
best linear prediction.

S is estimated from people with gaps by expectation-maximisation (Dempster, Laird & Rubin 1977, J. R. Stat.
Soc. B 39(1)); Hoff 2007, Annals of Applied Statistics 1(1) and Zhao & Udell 2020, KDD for copulas of mixed
data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput, CheckpointError
from sciai.health.data.columns import Kind, Schema
from sciai.health.model.chain import BinnedJoint, Mask, patterns
from sciai.health.model.margins import FEWEST, Layout, Margin, fit_margin, normal_bins

__all__ = ["Copula", "CopulaJoint", "fit_copula", "strong_pairs"]

Floats = npt.NDArray[np.float64]

_LEAST_SD = 0.02  # of a latent normal given everything else
_LEAST_SD_OF_LEVELS = 0.5  # what is linear in scores is too sure of rare diagnoses; chosen on held-out people


class Copula:
    """Margins and the correlation of their scores.

    Args:
        schema: the columns.
        layout: their margins.
        correlation: S, shape (D, D), positive definite.
    """

    def __init__(self, schema: Schema, layout: Layout, correlation: Floats) -> None:
        self.schema, self.layout = schema, layout
        self.correlation = np.asarray(correlation, float)
        widths = [len(c.levels) if c.kind is Kind.CATEGORICAL else 1 for c in schema.columns]
        self.starts = np.concatenate([[0], np.cumsum(widths)]).astype(int)
        self.owner = np.repeat(np.arange(len(schema)), widths)  # column of each latent
        tables = [_score_table(m) for m in layout.margins]
        self._tables = tables
        self.scale = np.concatenate([t[2] for t in tables])  # sd of the scores before standardising
        numeric = np.array([c.numeric for c in schema.columns])[self.owner]
        self.least_sd = np.where(numeric, _LEAST_SD, _LEAST_SD_OF_LEVELS)

    def span(self, i: int) -> slice:
        """Latents of column i."""
        return slice(int(self.starts[i]), int(self.starts[i + 1]))

    def scores(self, values: Floats) -> Floats:
        """Standardised scores, shape (n, D); NaN where unknown."""
        out = np.full((len(values), int(self.starts[-1])), np.nan)
        for i in np.flatnonzero(~np.isnan(values).all(0)).tolist():
            out[:, self.span(i)] = self.score(i, values[:, i])
        return out

    def score(self, i: int, x: Floats) -> Floats:
        """Standardised scores of column i, shape (n, its latents); NaN where unknown."""
        table, mean, sd = self._tables[i]
        if self.schema.columns[i].numeric:
            return ((self.layout.margins[i].score(x) - mean[0]) / sd[0])[:, None]
        level = np.clip(np.nan_to_num(x), 0, len(table) - 1).astype(int)
        return np.where(np.isfinite(x)[:, None], ((table - mean) / sd)[level], np.nan)

    def unscaled(self, i: int, scores: Floats) -> Floats:
        """Scores of a numeric column as its margin has them, from standardised ones; any shape."""
        _, mean, sd = self._tables[i]
        return np.asarray(scores * sd[0] + mean[0])

    def conditional(self, scores: Floats, known: Mask) -> tuple[Floats, Floats]:
        """Mean and standard deviation of every latent given the scores of the known columns.

        Args:
            scores: shape (n, D).
            known: columns that count as known, shape (n, d).

        Returns:
            Both of shape (n, D); of known columns meaningless.
        """
        masks, which = patterns(known)
        mean, explained = np.empty(scores.shape), np.empty((len(masks), scores.shape[1]))
        z = np.where(known[:, self.owner], np.nan_to_num(scores), 0.0)
        order = np.argsort(which, kind="stable")
        bounds = np.searchsorted(which[order], np.arange(len(masks) + 1))
        for k, mask in enumerate(masks):
            seen = mask[self.owner]
            rows = order[bounds[k] : bounds[k + 1]]
            cross = self.correlation[seen]
            weights = np.linalg.solve(cross[:, seen], cross) if seen.any() else cross
            mean[rows] = z[rows][:, seen] @ weights
            explained[k] = np.einsum("od,od->d", cross, weights)
        mean /= self.scale
        sd = np.sqrt(np.clip(1 - explained / self.scale**2, self.least_sd**2, 1.0))
        return mean, sd[which]

    def bins(self, i: int, mean: Floats, sd: Floats) -> Floats:
        """Probability of each bin of column i, shape (n, k), from what ``conditional`` gives."""
        margin, span = self.layout.margins[i], self.span(i)
        if self.schema.columns[i].kind is Kind.CATEGORICAL:
            threshold = ndtri(1 - np.diff(margin.bin_edges))
            p = np.maximum(ndtr((mean[:, span] - threshold) / sd[:, span]), 1e-9)
            return np.asarray(p / p.sum(1, keepdims=True))
        return normal_bins(margin.bin_edges, mean[:, span.start], sd[:, span.start])

    def latent_covariance(self, known: Mask, columns: Sequence[int]) -> Floats:
        """Conditional correlation of the latents of some hidden columns (not categorical ones).

        Args:
            known: shape (d,).
            columns: places of the hidden columns.

        Returns:
            Shape (c, c), with ones on the diagonal; the nearest positive semi-definite one.
        """
        at, seen = self.starts[list(columns)], known[self.owner]
        cross = self.correlation[np.ix_(seen, at)]
        scale = self.scale[at]
        base = self.correlation[np.ix_(at, at)] / np.outer(scale, scale)
        np.fill_diagonal(base, 1.0)
        if seen.any():
            weights = np.linalg.solve(self.correlation[np.ix_(seen, seen)], cross)
            base = base - cross.T @ weights / np.outer(scale, scale)
        sd = np.sqrt(np.clip(np.diag(base), 0.02**2, None))
        return _correlation(base / np.outer(sd, sd), 1e-4)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What a checkpoint stores."""
        text = json.dumps(self.schema.to_dict(), ensure_ascii=False).encode()
        arrays: dict[str, npt.NDArray[Any]] = {
            "schema": np.frombuffer(text, np.uint8),
            "copula.correlation": self.correlation.astype("f4"),
        }
        for column, margin in zip(self.schema.columns, self.layout.margins, strict=True):
            arrays |= {f"margin.{column.name}.{k}": v for k, v in margin.to_arrays().items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Copula:
        """The way back.

        Raises:
            CheckpointError: when the schema, or one of its columns, is not there.
        """
        try:
            schema = Schema.from_dict(json.loads(np.asarray(arrays["schema"], np.uint8).tobytes()))
            margins = tuple(
                Margin.from_arrays(
                    c, {k: arrays[f"margin.{c.name}.{k}"] for k in ("edges", "mass", "ends", "bins")}
                )
                for c in schema.columns
            )
            correlation = np.asarray(arrays["copula.correlation"], float)
        except KeyError as error:
            raise CheckpointError(f"the checkpoint lacks {error}; it holds no model of a body") from error
        except (ValueError, BadInput) as error:
            raise CheckpointError(f"the checkpoint's schema cannot be read: {error}") from error
        copula = cls(schema, Layout.of(margins), correlation)
        if correlation.shape != (len(copula.owner),) * 2:
            raise CheckpointError("the checkpoint's correlation was trained on other columns")
        return copula


def _score_table(margin: Margin) -> tuple[Floats, Floats, Floats]:
    """Score of each level (numbers: nothing), then mean and standard deviation of the scores."""
    column = margin.column
    if column.numeric:
        knots = np.concatenate([[0.0], margin._knots, [1.0]])
        share = np.diff(knots)
        z = ndtri(np.clip((knots[1:] + knots[:-1]) / 2, 1e-5, 1 - 1e-5))
        mean = float(share @ z)
        return np.empty((0, 1)), np.array([mean]), np.array([np.sqrt(max(share @ (z - mean) ** 2, 0.05))])
    p = np.diff(margin.bin_edges)
    if column.kind is Kind.CATEGORICAL:
        table = np.stack([_level_scores(np.array([1 - q, q])) for q in p], 1)  # (2, levels): no, yes
        table = np.where(np.eye(len(p), dtype=bool), table[1], table[0])
    else:
        table = _level_scores(p)[:, None]
    middle = np.asarray(p @ table)
    return table, middle, np.sqrt(np.maximum(p @ (table - middle) ** 2, 1e-4))


def _level_scores(p: Floats) -> Floats:
    """Mean of a standard normal over each of the intervals with probabilities p."""
    ends = ndtri(np.concatenate([[0.0], np.cumsum(p)[:-1], [1.0]]))
    density = np.exp(-(ends**2) / 2) / np.sqrt(2 * np.pi)
    return np.asarray((density[:-1] - density[1:]) / p)


def _correlation(matrix: Floats, floor: float) -> Floats:
    """The nearest correlation matrix with eigenvalues from ``floor`` on, by clipping."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    fixed = (vectors * np.maximum(values, floor)) @ vectors.T
    sd = np.sqrt(np.diag(fixed))
    return np.asarray(fixed / np.outer(sd, sd))


def fit_copula(
    schema: Schema,
    values: Floats,
    *,
    rounds: int = 8,
    shrink: float = 0.01,
    spare: float = 1.0,
    fewest: int = FEWEST,
    smoothed: bool = False,
) -> Copula:
    """Margins and correlation of people with gaps.

    Args:
        schema: the columns.
        values: shape (n, d), NaN where unknown.
        rounds: of expectation-maximisation, after a start from pairs of known columns.
        shrink: share of the target that is mixed in: the more, the less is kept of single people.
        spare: pairs with a partial correlation from here on are in the target as they were found
            (``strong_pairs``), all others as it follows from those: tight pairs stay tight. From 1 on, the
            target is the identity.
        fewest: people in a cell of a margin.
        smoothed: see ``fit_margin``.
    """
    margins = tuple(
        fit_margin(c, values[:, i], fewest=fewest, smoothed=smoothed) for i, c in enumerate(schema.columns)
    )
    size = sum(len(c.levels) if c.kind is Kind.CATEGORICAL else 1 for c in schema.columns)
    copula = Copula(schema, Layout.of(margins), np.eye(size))
    scores = copula.scores(values)
    known = np.isfinite(scores)
    z = np.where(known, scores, 0.0)
    seen = known.astype(float)
    pairs = seen.T @ seen
    # pairs that were never seen together start at 0, few of them near it
    moment = z.T @ z / np.maximum(pairs, 1) * (pairs / (pairs + 30))
    np.fill_diagonal(moment, 1.0)
    estimate = _correlation(moment, 0.01)
    masks, which = patterns(known)
    groups = [np.flatnonzero(which == k) for k in range(len(masks))]
    prior = 10.0
    for _ in range(rounds):
        total = prior * estimate * 0 + prior * np.eye(size)
        for mask, rows in zip(masks, groups, strict=True):
            total += _expected(estimate, mask, z[rows])
        estimate = total / (len(z) + prior)
        sd = np.sqrt(np.diag(estimate))
        estimate = estimate / np.outer(sd, sd)
    target = np.eye(size) if spare >= 1 else strong_pairs(estimate, copula.owner, spare)
    estimate = (1 - shrink) * estimate + shrink * target
    return Copula(schema, copula.layout, _correlation(estimate, 1e-3))


def strong_pairs(correlation: Floats, owner: npt.NDArray[np.int64], least: float, sweeps: int = 30) -> Floats:
    """The correlation of the normal that has its strong pairs, and no other direct ones.

    Dempster 1972, "Covariance Selection", Biometrics 28(1); computed as in Hastie, Tibshirani & Friedman
    2009, "The Elements of Statistical Learning", algorithm 17.1.

    Args:
        correlation: shape (D, D), positive definite.
        owner: column of each latent, shape (D,); latents of one column are always kept together.
        least: absolute partial correlation from which a pair is strong.
        sweeps: at most so many.

    Returns:
        Shape (D, D): equal to ``correlation`` where a pair is strong; its inverse is 0 elsewhere.

    >>> chain = np.array([[1, 0.8, 0.4], [0.8, 1, 0.6], [0.4, 0.6, 1]])
    >>> strong_pairs(chain, np.arange(3), 0.3).round(1)[0].tolist()
    [1.0, 0.8, 0.5]
    """
    size = len(correlation)
    found = 0.995 * correlation + 0.005 * np.eye(size)
    inverse = np.linalg.inv(found)
    scale = np.sqrt(np.diag(inverse))
    kept = (np.abs(inverse) >= least * np.outer(scale, scale)) | (owner[:, None] == owner)
    np.fill_diagonal(kept, False)
    fitted = found.copy()
    for _ in range(sweeps):
        before = fitted.copy()
        for j in range(size):
            near = np.flatnonzero(kept[j])
            row = fitted[near].T @ np.linalg.solve(fitted[np.ix_(near, near)], found[near, j])
            row[j] = found[j, j]
            fitted[j], fitted[:, j] = row, row
        if np.abs(fitted - before).max() < 1e-5:
            break
    sd = np.sqrt(np.diag(fitted))
    return np.asarray(fitted / np.outer(sd, sd))


def _expected(estimate: Floats, seen: Mask, z: Floats) -> Floats:
    """Sum over rows of E[z z'] given the seen scores."""
    cross = estimate[seen]
    if not seen.any():
        return len(z) * estimate
    weights = np.linalg.solve(cross[:, seen] + 1e-6 * np.eye(int(seen.sum())), cross)
    filled = z[:, seen] @ weights
    rest = estimate - cross.T @ weights
    rest[seen] = 0.0
    rest[:, seen] = 0.0
    filled[:, seen] = z[:, seen]
    return np.asarray(filled.T @ filled + len(z) * rest)


class CopulaJoint(BinnedJoint):
    """A Gaussian copula as ``Joint``.

    Args:
        copula: margins and correlation.
    """

    def __init__(self, copula: Copula) -> None:
        super().__init__(copula.schema, copula.layout, chunk=4096)
        self.copula = copula

    @classmethod
    def load(cls, checkpoint: Checkpoint) -> CopulaJoint:
        """From a checkpoint whose card says ``extra.model: copula``.

        Raises:
            CheckpointError: when it does not hold one.
        """
        if checkpoint.card.extra.get("model") != "copula":
            raise CheckpointError(f"checkpoint {checkpoint.card.name!r} is no copula")
        return cls(Copula.from_arrays(checkpoint.arrays))

    def bins(self, known: Floats, columns: Sequence[int]) -> list[tuple[Floats, Floats | None]]:
        """See ``BinnedJoint``."""
        mean, sd = self.copula.conditional(self.copula.scores(known), ~np.isnan(known))
        return [(self.copula.bins(i, mean, sd), None) for i in columns]

    def sample(self, known: Floats, rng: np.random.Generator, only: Sequence[str] | None = None) -> Floats:
        """See ``Joint``: levels without order one after the other, then everything else at once."""
        values = self._checked(known)
        wanted = [(i, c) for i, c in enumerate(self.schema.columns) if only is None or c.name in only]
        for i, column in wanted:
            if column.kind is Kind.CATEGORICAL:
                draw_block(self.copula, values, [i], self.bins, rng)
        rest = [i for i, c in wanted if c.kind is not Kind.CATEGORICAL]
        draw_block(self.copula, values, rest, self.bins, rng)
        return values


def draw_block(
    copula: Copula, values: Floats, columns: Sequence[int], bins: Any, rng: np.random.Generator
) -> None:
    """Fill in the unknown values of some columns, in place, given everything known.

    Each column follows its predictive distribution, and the columns hang together as the copula's latents do
    given what is known: one Cholesky factor for each pattern of known columns.

    Args:
        copula: gives the correlation.
        values: shape (n, d), changed.
        columns: places; a categorical one stands alone.
        bins: as ``BinnedJoint.bins``.
        rng: the source of chance.
    """
    masks, which = patterns(~np.isnan(values))
    for k, mask in enumerate(masks):
        open_ = [i for i in columns if not mask[i]]
        if not open_:
            continue
        rows = np.flatnonzero(which == k)
        told = bins(values[rows], open_)
        if len(open_) == 1:
            u = rng.random((len(rows), 1))
        else:
            factor = np.linalg.cholesky(copula.latent_covariance(mask, open_) + 1e-9 * np.eye(len(open_)))
            u = ndtr(rng.standard_normal((len(rows), len(open_))) @ factor.T)
        for j, i in enumerate(open_):
            values[rows, i] = copula.layout.margins[i].draw(np.cumsum(told[j][0], 1), u[:, j])
