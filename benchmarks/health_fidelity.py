"""Virtual humans beside real ones: single columns, pairs of columns, and whether a classifier sees it.

Virtual humans are drawn with nothing known. Each gets the gaps of a real person of the same cycle, fasting
half, sex, diabetes, smoking and five years of age (people are asked and measured by what they are). Drinking
is not among these: who is looked for by a column gets no gap in it, and every tenth real person has one
there. They are held against people who were not in the training. How far those are from the training people
is printed beside it, because they live in other places: no model can be expected to be nearer to them than
real people are. The classifier is also shown the training people: what it finds there is the model's own
error (or would be, if the model had learned them by heart).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from scipy.stats import ks_2samp, rankdata

from benchmarks.health_data import add_models, describe, keep, one_thread, open_model, people
from sciai.health.api.evaluate import auroc
from sciai.health.data.columns import Schema

LEAST = 200  # people who have both columns, for a correlation to be compared


def strata(schema: Schema, values: np.ndarray) -> np.ndarray:
    """What decides which gaps a person has, as one number per person, from coarse to fine columns."""
    keys = []
    steps = {"cycle": 1, "fasted": 1, "sex": 1, "dx_diabetes": 1, "smoking": 1, "age": 5}
    for name, step in steps.items():
        keys.append(np.nan_to_num(values[:, schema.index(name)], nan=-1) // step)
    return np.column_stack(keys).astype(int)


def with_gaps(schema: Schema, virtual: np.ndarray, real: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Virtual people with the gaps of real ones like them; fewer keys count where nobody is alike."""
    donors_of = real.copy()
    half, unknown = schema.index("fasted"), np.isnan(real[:, schema.index("fasted")])
    # people of whom no blood was taken are of either half
    donors_of[unknown, half] = rng.integers(0, 2, int(unknown.sum()))
    theirs, ours = strata(schema, donors_of), strata(schema, virtual)
    donors: dict[tuple[int, ...], list[int]] = {}
    for row, key in enumerate(map(tuple, theirs)):
        for length in range(len(key) + 1):
            donors.setdefault(key[:length], []).append(row)
    result = virtual.copy()
    for row, key in enumerate(map(tuple, ours)):
        length = next(k for k in range(len(key), -1, -1) if key[:k] in donors)
        result[row, np.isnan(real[rng.choice(donors[key[:length]])])] = np.nan
    return result


def distances(schema: Schema, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Column -> Kolmogorov-Smirnov distance; of levels without order half the sum of differences."""
    found = {}
    for i, column in enumerate(schema.columns):
        x, y = a[~np.isnan(a[:, i]), i], b[~np.isnan(b[:, i]), i]
        if column.group == "design" or min(len(x), len(y)) < LEAST:
            continue
        if str(column.kind) == "categorical":
            n = len(column.levels)
            p, q = (np.bincount(v.astype(int), minlength=n) / len(v) for v in (x, y))
            found[column.name] = float(np.abs(p - q).sum() / 2)
        else:
            found[column.name] = float(ks_2samp(x, y, method="asymp").statistic)
    return found


def correlations(schema: Schema, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spearman's correlation of every pair of ordered columns over people who have both, and their number."""
    places = [i for i, c in enumerate(schema.columns) if str(c.kind) != "categorical" and c.group != "design"]
    z, there = np.zeros((len(values), len(places))), ~np.isnan(values[:, places])
    for k, i in enumerate(places):
        own = there[:, k]
        if own.sum() > 1:
            ranks = rankdata(values[own, i])
            z[own, k] = (ranks - ranks.mean()) / (ranks.std() + 1e-12)
    seen = there.astype(float)
    n = seen.T @ seen
    # Pearson's correlation of ranks, means and variances taken over the people who have both
    sx, sxx, sxy = z.T @ seen, (z**2).T @ seen, z.T @ z
    with np.errstate(all="ignore"):
        cov = sxy / n - (sx / n) * (sx / n).T
        var = sxx / n - (sx / n) ** 2
        rho = cov / np.sqrt(var * var.T)
    upper = np.triu_indices(len(places), 1)
    return rho[upper], n[upper]


def correlation_error(schema: Schema, a: np.ndarray, b: np.ndarray) -> tuple[float, float, int]:
    """Mean and 95th percentile of the absolute difference, over pairs that enough people have in both."""
    (rho_a, n_a), (rho_b, n_b) = correlations(schema, a), correlations(schema, b)
    keep = (n_a >= LEAST) & (n_b >= LEAST) & np.isfinite(rho_a) & np.isfinite(rho_b)
    gap = np.abs(rho_a - rho_b)[keep]
    return float(gap.mean()), float(np.quantile(gap, 0.95)), int(keep.sum())


def told_apart(a: np.ndarray, b: np.ndarray, names: list[str], seed: int = 0) -> tuple[float, list[str]]:
    """AUROC of LightGBM for a against b, each person judged by a model of other people; what it looks at.

    As many of a as of b are used. Lopez-Paz & Oquab 2017, "Revisiting Classifier Two-Sample Tests", ICLR.
    """
    import lightgbm as lgb

    rng = np.random.default_rng(seed)
    size = min(len(a), len(b))
    x = np.r_[a[rng.permutation(len(a))[:size]], b[rng.permutation(len(b))[:size]]]
    y = np.r_[np.ones(size), np.zeros(size)]
    fold, score, gain = rng.integers(0, 5, len(x)), np.empty(len(x)), np.zeros(x.shape[1])
    options: dict[str, Any] = {
        "objective": "binary", "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 20,
        "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "verbose": -1, "num_threads": 1,
        "seed": seed,
    }  # fmt: skip
    for k in range(5):
        model = lgb.train(options, lgb.Dataset(x[fold != k], y[fold != k]), 150)
        score[fold == k] = model.predict(x[fold == k])
        gain += model.feature_importance("gain")
    return auroc(score, y == 1), [names[i] for i in np.argsort(-gain)[:6]]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    one_thread()
    found = people()
    schema = found.schema
    decimals = [c.decimals if c.numeric else 0 for c in schema.columns]
    names = [c.name for c in schema.columns if c.group != "design"]
    shown = [schema.index(name) for name in names]

    def rounded(values: np.ndarray) -> np.ndarray:
        # halves go up, as where people are drawn: drinking days of one cycle are 1.5 and 4.5 in the table
        return np.column_stack([np.floor(values[:, i] * 10**d + 0.5) / 10**d for i, d in enumerate(decimals)])

    real, train = rounded(found.of("val", "calibrate", "test")), rounded(found.of("train"))
    floor, (rho, rho95, pairs) = distances(schema, train, real), correlation_error(schema, train, real)
    floor_auc, where = told_apart(train[:, shown], real[:, shown], names)
    print(f"{len(train)} training people against {len(real)} held-out people:")
    floor_far = sum(gap > 0.03 for gap in floor.values())
    print(
        f"  KS mean {np.mean(list(floor.values())):.4f}, worst {max(floor.values()):.3f}, "
        f"{floor_far} of {len(floor)} above .03"
    )
    print(f"  correlations: mean error {rho:.4f}, 95th percentile {rho95:.3f}, of {pairs} pairs")
    print(f"  classifier: AUROC {floor_auc:.3f} ({', '.join(where)})")
    for model in given.model:
        _, joint, _ = open_model(model)
        rng, start = np.random.default_rng(given.seed), time.perf_counter()
        drawn = np.concatenate(
            [
                joint.sample(np.full((min(2000, given.people - k), len(schema)), np.nan), rng)
                for k in range(0, given.people, 2000)
            ]
        )
        took = time.perf_counter() - start
        virtual = with_gaps(schema, rounded(drawn), real, rng)
        ks = distances(schema, virtual, real)
        rho, rho95, pairs = correlation_error(schema, virtual, real)
        apart, where = told_apart(virtual[:, shown], real[:, shown], names)
        worst = sorted(ks, key=lambda name: -ks[name])[:8]
        far = [name for name in ks if ks[name] > 0.03]
        print(f"\n{describe(model)}: {given.people} virtual humans ({took:.0f} s) against {len(real)} people")
        mean = np.mean(list(ks.values()))
        print(f"  KS mean {mean:.4f}, worst {max(ks.values()):.3f}, {len(far)} of {len(ks)} above .03")
        print("  worst: " + ", ".join(f"{name} {ks[name]:.3f} (real {floor[name]:.3f})" for name in worst))
        print(f"  correlations: mean error {rho:.4f}, 95th percentile {rho95:.3f}, of {pairs} pairs")
        print(f"  classifier: AUROC {apart:.3f} ({', '.join(where)})")
        kept = {
            "fidelity/ks_mean": mean,
            "fidelity/ks_worst": max(ks.values()),
            "fidelity/ks_columns_above_.03": len(far),
            "fidelity/ks_columns_above_.03_of_real_people": floor_far,
            "fidelity/correlation_error": rho,
            "fidelity/two_sample_auc": apart,
            "fidelity/two_sample_auc_of_real_people": floor_auc,
        }
        keep(
            "fidelity",
            model,
            kept,
            [{"column": name, "ks_of_virtual_humans": ks[name]} for name in worst[:3]],
        )
        learned = distances(schema, virtual, train)
        apart, where = told_apart(virtual[:, shown], train[:, shown], names)
        print(
            f"  against the training people: KS mean {np.mean(list(learned.values())):.4f}, worst "
            f"{max(learned.values()):.3f}; classifier AUROC {apart:.3f} ({', '.join(where)})"
        )


if __name__ == "__main__":
    main()
