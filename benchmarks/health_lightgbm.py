"""The peer of the health benchmarks: LightGBM, one tuned model (or family of models) per question.

Yes/no, ordinal and categorical columns: a classifier. Numbers get a whole distribution over the bins they are
scored in, by whichever does better on the validation part:

* location and scale: one booster for the mean of the column's normal score, one for the log variance of its
  out-of-fold residuals, and the histogram of the standardised residuals, separately for low to high means;
* a multiclass booster over the bins;
* the mean of the two.

Tuning: a seeded random search, early stopping on the validation part; classifiers are refitted with two
seeds and averaged. Results are cached by the hash of the data and the settings.

    python -m benchmarks.health_lightgbm --cache FOLDER [--search 4] [--check]     fill the cache
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

VERSION = 1  # part of the cache's key: raise it when what is fitted changes
STATIC = {"bagging_freq": 1, "verbose": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}


@dataclass(frozen=True)
class Question:
    """One target with its inputs, cut into parts. ``classes``: bins or levels; ``edges``: None for levels."""

    target: str
    inputs: str
    x: np.ndarray
    y: np.ndarray
    bins: np.ndarray
    classes: int
    edges: np.ndarray | None
    categorical: tuple[int, ...]
    parts: dict[str, np.ndarray]

    def key(self, settings: dict[str, Any]) -> str:
        """Names data and settings."""
        digest = hashlib.sha256(json.dumps([VERSION, self.target, self.inputs, settings]).encode())
        for array in (self.x, self.y, self.bins, *self.parts.values()):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def draws(count: int, seed: int) -> list[dict[str, Any]]:
    """Settings to try: the first is a sensible default, the others are drawn."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = [
        {"learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 20, "feature_fraction": 0.4,
             "bagging_fraction": 0.8, "lambda_l2": 5.0, "max_bin": 63}
    ]  # fmt: skip
    while len(found) < count:
        found.append(
            {
                "learning_rate": float(rng.choice([0.03, 0.05, 0.08])),
                "num_leaves": int(rng.choice([4, 7, 15, 31])),
                "min_data_in_leaf": int(rng.choice([10, 20, 50, 100])),
                "feature_fraction": float(rng.choice([0.2, 0.4, 0.7, 1.0])),
                "bagging_fraction": float(rng.choice([0.5, 0.8])),
                "lambda_l2": float(rng.choice([0.0, 1.0, 5.0, 20.0])),
                "max_bin": 63,
            }
        )
    return found


def boost(q: Question, labels: np.ndarray, settings: dict[str, Any], rounds: int, patience: int = 40) -> Any:
    """Fit on train, stop by val."""
    import lightgbm as lgb

    options = STATIC | settings
    train, val = q.parts["train"], q.parts["val"]
    data = lgb.Dataset(q.x[train], labels[train], params=options, categorical_feature=list(q.categorical))
    held = lgb.Dataset(q.x[val], labels[val], reference=data)
    stop = lgb.early_stopping(patience, verbose=False)
    return lgb.train(options, data, rounds, valid_sets=[held], callbacks=[stop])


def nll(p: np.ndarray, bins: np.ndarray) -> float:
    """Mean negative log probability."""
    return float(-np.log(np.maximum(p[np.arange(len(p)), bins], 1e-6)).mean())


def classifier(q: Question, search: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Probabilities of levels for val and test rows together."""
    binary = q.classes == 2
    goal: dict[str, Any] = (
        {"objective": "binary"} if binary else {"objective": "multiclass", "num_class": q.classes}
    )
    rows = np.concatenate([q.parts["val"], q.parts["test"]])
    best: tuple[float, dict[str, Any]] = (np.inf, {})
    for settings in draws(search, seed=1):
        model = boost(q, q.bins, goal | settings, 1500)
        best = min(best, (model.best_score["valid_0"][next(iter(model.best_score["valid_0"]))], settings),
                   key=lambda pair: pair[0])  # fmt: skip
    found = 0.0
    for seed in range(2):
        model = boost(q, q.bins, goal | best[1] | {"seed": seed}, 1500)
        found = found + np.asarray(model.predict(q.x[rows])) / 2
    p = np.column_stack([1 - found, found]) if binary else np.asarray(found)
    return p, {"family": "classifier", **best[1]}


def location_scale(q: Question, search: int, seed: int = 0) -> tuple[np.ndarray, dict[str, Any]]:
    """Probabilities of bins for val and test rows together."""
    import lightgbm as lgb

    train = q.parts["train"]
    ordered = np.sort(q.y[train])

    def score(v: np.ndarray) -> np.ndarray:  # normal score; ties share their middle rank
        middle = (np.searchsorted(ordered, v, "left") + np.searchsorted(ordered, v, "right")) / 2
        return ndtri(np.clip(middle / len(ordered), 0.5 / len(ordered), 1 - 0.5 / len(ordered)))

    z = score(q.y)
    best: tuple[float, Any, dict[str, Any]] = (np.inf, None, {})
    for settings in draws(search, seed=2):
        model = boost(q, z, {"objective": "l2"} | settings, 2000)
        best = min(best, (model.best_score["valid_0"]["l2"], model, settings), key=lambda triple: triple[0])
    _, model, settings = best
    mean = np.asarray(model.predict(q.x))
    out = mean.copy()  # out of fold on train
    fold = np.random.default_rng(seed).integers(0, 4, len(train))
    for k in range(4):
        data = lgb.Dataset(
            q.x[train[fold != k]], z[train[fold != k]], categorical_feature=list(q.categorical)
        )
        part = lgb.train(STATIC | {"objective": "l2"} | settings, data, model.best_iteration)
        out[train[fold == k]] = part.predict(q.x[train[fold == k]])
    spread = boost(q, np.log((z - out) ** 2 + 1e-3), {"objective": "l2", **settings, "num_leaves": 7}, 1500)
    sd = np.exp(np.asarray(spread.predict(q.x)) / 2)
    rest = (z - out) / sd
    rows = np.concatenate([q.parts["val"], q.parts["test"]])
    cuts = np.quantile(out[train], np.linspace(0, 1, 7)[1:-1])
    level, own = np.searchsorted(cuts, out[train]), np.searchsorted(cuts, mean[rows])
    assert q.edges is not None  # only numbers come here
    at = (score(q.edges)[None] - mean[rows][:, None]) / sd[rows][:, None]
    cdf = np.empty_like(at)
    for group in range(7):
        some = np.sort(rest[train][level == group])
        if len(some):
            share = np.interp(at[own == group], some, (np.arange(len(some)) + 0.5) / len(some), 0.0, 1.0)
            wide = ndtr((at[own == group] - some.mean()) / (2 * some.std() + 1e-9))
            cdf[own == group] = 0.97 * share + 0.03 * wide
    p = np.diff(np.column_stack([np.zeros(len(rows)), cdf, np.ones(len(rows))]), axis=1)
    return p, {"family": "location-scale", **settings}


def multiclass(q: Question) -> tuple[np.ndarray, dict[str, Any]]:
    """Probabilities of bins for val and test rows together."""
    settings = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 30, "feature_fraction": 0.4,
                    "bagging_fraction": 0.8, "lambda_l2": 5.0, "max_bin": 63}  # fmt: skip
    goal = {"objective": "multiclass", "num_class": q.classes}
    rows = np.concatenate([q.parts["val"], q.parts["test"]])
    model = boost(q, q.bins, goal | settings, 150, patience=8)
    return np.asarray(model.predict(q.x[rows])), {"family": "multiclass", **settings}


def answer(q: Question, search: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Probabilities for the test rows, by what does best on val."""
    val = len(q.parts["val"])
    if q.edges is None:
        p, how = classifier(q, search)
        return p[val:], how
    first, how = location_scale(q, search)
    second, other = multiclass(q)
    options = [(first, how), (second, other), ((first + second) / 2, {"family": "mean of both", **how})]
    best = min(options, key=lambda option: nll(option[0][:val], q.bins[q.parts["val"]]))
    return best[0][val:], best[1]


def cached(q: Question, cache: Path, search: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Probabilities for the test rows and how they came about, from the cache where it has them."""
    file = cache / f"{q.inputs}_{q.target}_{q.key({'search': search})}.npz"
    if not file.exists():
        start = time.perf_counter()
        p, how = answer(q, search)
        cache.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp.npz")
        how = how | {"seconds": round(time.perf_counter() - start, 1)}
        np.savez_compressed(temporary, p=p.astype(np.float32), how=np.array(json.dumps(how)))
        temporary.replace(file)
    with np.load(file) as found:
        p = found["p"].astype(float)
        return p / p.sum(1, keepdims=True), json.loads(str(found["how"]))


def main() -> None:
    """Command line."""
    from benchmarks.health_data import questions

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--search", type=int, default=4, help="settings tried per booster")
    parser.add_argument("--check", action="store_true", help="longer search on three targets: a strawman?")
    parser.add_argument("targets", nargs="*")
    given = parser.parse_args()
    wanted = given.targets or (["uric_acid", "sbp", "dx_liver"] if given.check else [])
    # diagnoses first: they are what a person asks for
    for q in sorted(questions(wanted), key=lambda q: not q.target.startswith("dx_")):
        start = time.perf_counter()
        p, how = cached(q, given.cache, given.search)
        bins = q.bins[q.parts["test"]]
        line = f"{q.inputs:9s}{q.target:24s}{nll(p, bins):7.4f} nat  {how['family']}"
        if given.check:
            longer, _ = cached(q, given.cache, 5 * given.search)
            line += f"; with {5 * given.search} settings {nll(longer, bins):.4f}"
        print(f"{line}  {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
