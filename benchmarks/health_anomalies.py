"""Bodies that cannot be: part of the values exchanged with somebody of the same sex and age decade.

Held-out people. Every value stays within the central 95 % of its sex among the training people, for the
original as for the chimera, so that no value is odd alone. Three scores try to tell the two apart: ours
(`sciai.health.api.unusual.combination_score`: how much less likely each value is beside the others than among
peers), and two rules that look at one value at a time, among peers: the strangest value, and the sum of all.

    python -m benchmarks.health_anomalies --model health [--share .5 .25 .1]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.health_data import add_models, describe, keep, one_thread, open_model, people, table
from sciai.health.api.evaluate import auroc
from sciai.health.api.unusual import combination_score
from sciai.health.data.columns import Schema

PANELS = {"laboratory": ("lab", "blood_count"), "laboratory and body": ("lab", "blood_count", "body")}
# not measured in everybody, or behaviour
RARE = ("hip_cm", "crp_hs", "glucose_fasting", "trig_fasting", "cotinine", "uacr")


def judged(schema: Schema, groups: tuple[str, ...]) -> list[str]:
    """Columns of a panel."""
    return [c.name for c in schema.columns if c.group in groups and c.numeric and c.name not in RARE]


def in_range(schema: Schema, values: np.ndarray, names: list[str], train: np.ndarray) -> np.ndarray:
    """The same people; values outside of the central 95 % of their sex become gaps."""
    result = values.copy()
    for sex in (0, 1):
        mine, theirs = values[:, schema.index("sex")] == sex, train[:, schema.index("sex")] == sex
        for i in map(schema.index, names):
            low, high = np.nanquantile(train[theirs, i], [0.025, 0.975])
            out = mine & ((values[:, i] < low) | (values[:, i] > high))
            result[out, i] = np.nan
    return result


def chimeras(
    schema: Schema, values: np.ndarray, names: list[str], share: float, rng: np.random.Generator
) -> np.ndarray:
    """Part of each person's values replaced by those of another of the same sex, age decade and cycle."""
    places = np.array([schema.index(name) for name in names])
    sex, age, cycle = (values[:, schema.index(name)] for name in ("sex", "age", "cycle"))
    group = sex + 2 * (age // 10) + 100 * cycle
    result = values.copy()
    for row in range(len(values)):
        others = np.flatnonzero((group == group[row]) & (np.arange(len(values)) != row))
        if not len(others):
            continue
        other = values[rng.choice(others)]
        both = places[~np.isnan(values[row, places]) & ~np.isnan(other[places])]
        some = rng.permutation(both)[: max(1, round(share * len(both)))]
        result[row, some] = other[some]
    return result


def one_at_a_time(
    joint: Any, rows: np.ndarray, names: list[str], given: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """How far the strangest value is from its peers' median (as a tail probability), and all values' sum."""
    schema = joint.schema
    beside = np.full(rows.shape, np.nan)
    kept = [schema.index(name) for name in given]
    beside[:, kept] = rows[:, kept]
    told = joint.predictive(beside, names)
    strange = np.zeros((len(rows), len(names)))
    for k, name in enumerate(names):
        x = rows[:, schema.index(name)]
        own = np.isfinite(x)
        p = told[name].cdf(np.where(own, x, 0.0))
        strange[:, k] = np.where(own, -np.log(2 * np.clip(np.minimum(p, 1 - p), 1e-6, 0.5)), 0.0)
    return strange.max(1), strange.sum(1)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    parser.add_argument("--share", nargs="+", type=float, default=[0.5, 0.25, 0.1])
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    one_thread()
    found = people()
    schema, peers = found.schema, ["age", "sex", "cycle"]
    rows = []
    for model in given.model:
        _, joint, _ = open_model(model)
        print(describe(model))
        kept = {}
        for panel, groups in PANELS.items():
            names = judged(schema, groups)
            test = in_range(schema, found.of("test"), names, found.of("train"))
            enough = (~np.isnan(test[:, [schema.index(n) for n in names]])).mean(1) >= 0.7
            test = test[enough][: given.people]
            for share in given.share:
                mixed = chimeras(schema, test, names, share, np.random.default_rng(given.seed))
                label = np.r_[np.ones(len(test), bool), np.zeros(len(test), bool)]
                ours = np.r_[tuple(combination_score(joint, v, names, peers) for v in (mixed, test))]
                rules = [one_at_a_time(joint, v, names, peers) for v in (mixed, test)]
                strangest, total = (np.r_[rules[0][k], rules[1][k]] for k in (0, 1))
                rows.append(
                    [panel, len(names), len(test), f"{100 * share:.0f} %",
                     auroc(ours, label), auroc(strangest, label), auroc(total, label)]
                )  # fmt: skip
                kept[f"anomalies/{panel}/{100 * share:.0f}_percent_exchanged/auroc"] = auroc(ours, label)
                kept[f"anomalies/{panel}/{100 * share:.0f}_percent_exchanged/rules"] = max(
                    auroc(strangest, label), auroc(total, label)
                )
        keep("anomalies", model, kept)
    head = ["panel", "columns", "people", "exchanged", "AUROC", "strangest value", "sum of values"]
    print(table(rows, head))


if __name__ == "__main__":
    main()
