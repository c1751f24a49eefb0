"""Is it one distribution? P(a, b) the same whichever is asked first; identities of a body hold in samples.

Two columns of a held-out person are asked for given a random part of the rest, in both orders:
log P(a | known) + log P(b | a, known) against log P(b | known) + log P(a | b, known), over the bins of the
training people's values. In samples, derived quantities are computed again here with formulas of their own.

    python -m benchmarks.health_consistency --model health [--people 300] [--samples 5000]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.health_data import add_models, describe, edges, keep, one_thread, open_model, people, targets
from sciai.health.data.columns import Schema


def log_bin(
    joint: Any, known: np.ndarray, name: str, truth: np.ndarray, cuts: dict[str, np.ndarray]
) -> np.ndarray:
    """Log probability of the bin that each truth lies in."""
    told = joint.predictive(known, [name])[name]
    if not told.column.numeric:
        p = told.probabilities()
        return np.log(np.maximum(p[np.arange(len(p)), truth.astype(int)], 1e-9))
    ends = np.concatenate([[-np.inf], cuts[name], [np.inf]])
    k = np.searchsorted(cuts[name], truth)
    low = np.where(k > 0, told.cdf(np.where(k > 0, ends[k], 0.0)), 0.0)
    high = np.where(k < len(cuts[name]), told.cdf(np.where(k < len(cuts[name]), ends[k + 1], 0.0)), 1.0)
    return np.log(np.maximum(high - low, 1e-9))


def order_gaps(joint: Any, values: np.ndarray, pairs: int, seed: int) -> dict[str, np.ndarray]:
    """Pair of columns -> absolute differences in nats, one per person."""
    schema: Schema = joint.schema
    rng, cuts, names = np.random.default_rng(seed), edges(schema), targets(schema)
    gaps = {}
    for _ in range(pairs):
        a, b = rng.choice(names, 2, replace=False)
        i, j = schema.index(a), schema.index(b)
        rows = np.flatnonzero(~np.isnan(values[:, i]) & ~np.isnan(values[:, j]))
        rows = rng.permutation(rows)[:40]
        if not len(rows):
            continue
        x, y = values[rows, i], values[rows, j]
        hidden = rng.random((len(rows), len(schema))) < rng.random((len(rows), 1))
        hidden[:, [i, j]] = True
        none = np.where(hidden, np.nan, values[rows])
        with_a, with_b = none.copy(), none.copy()
        with_a[:, i], with_b[:, j] = x, y
        one = log_bin(joint, none, a, x, cuts) + log_bin(joint, with_a, b, y, cuts)
        two = log_bin(joint, none, b, y, cuts) + log_bin(joint, with_b, a, x, cuts)
        gaps[f"{a}, {b}"] = np.abs(one - two)
    return gaps


def identities(frame: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> (whether it holds, whether it can be judged) in each row."""
    f = {name: frame[name].to_numpy() for name in frame}
    female = f["sex"] == "F"
    kappa, alpha = np.where(female, 0.7, 0.9), np.where(female, -0.241, -0.302)
    ratio = f["creatinine"] / kappa
    egfr = (
        142 * np.minimum(ratio, 1) ** alpha * np.maximum(ratio, 1) ** -1.2
        * 0.9938 ** f["age"] * np.where(female, 1.012, 1.0)
    )  # fmt: skip
    friedewald = f["chol_total"] - f["hdl"] - f["trig_fasting"] / 5
    cells = f["lymph_pct"] + f["mono_pct"] + f["eos_pct"] + f["baso_pct"]

    def close(name: str, value: np.ndarray, slack: float) -> tuple[np.ndarray, np.ndarray]:
        there = np.isfinite(f[name].astype(float)) & np.isfinite(value)
        return np.abs(f[name].astype(float) - value) <= slack, there

    def never(name: str, broken: np.ndarray, *of: str) -> tuple[str, tuple[np.ndarray, np.ndarray]]:
        return name, (~broken, frame[list(of)].notna().to_numpy().all(1))

    exact = {
        "BMI = weight / height^2": close("bmi", f["weight_kg"] / (f["height_cm"] / 100) ** 2, 0.06),
        "eGFR = CKD-EPI 2021": close("egfr", egfr, 0.06),
        "hematocrit = RBC x MCV": close("hematocrit", f["rbc"] * f["mcv"] / 10, 0.06),
        "MCH = Hb / RBC": close("mch", 10 * f["hemoglobin"] / f["rbc"], 0.06),
        "MCHC = Hb / hematocrit": close("mchc", 1000 * f["hemoglobin"] / (f["rbc"] * f["mcv"]), 0.06),
        "globulin = protein - albumin": close("globulin", f["protein_total"] - f["albumin"], 0.06),
        "LDL = Friedewald": close("ldl", friedewald, 0.6),
        "non-HDL = total - HDL": close("non_hdl", f["chol_total"] - f["hdl"], 0.6),
        "white cells sum to 100": close("neut_pct", 100 - cells, 0.06),
    }
    learned = (  # not computed: what no body, or no interview, can be
        never("neutrophils are 0 to 100 %", (f["neut_pct"] < 0) | (f["neut_pct"] > 100), "neut_pct"),
        never("HDL below total cholesterol", f["hdl"] >= f["chol_total"], "hdl", "chol_total"),
        never("globulin above 0", f["globulin"] <= 0, "globulin"),
        never("diastolic below systolic", f["dbp"] >= f["sbp"], "dbp", "sbp"),
        never("MCHC 25 to 42 g/dL", (f["mchc"] < 25) | (f["mchc"] > 42), "mchc"),
        never("no pregnant man", (f["pregnant"] == 1) & ~female, "pregnant"),
        never(
            "only smokers have cigarettes", (f["cig_per_day"] > 0) & (f["smoking"] != "current"), "smoking"
        ),
        never("insulin only with diabetes", (f["rx_insulin"] == 1) & (f["dx_diabetes"] == 0), "dx_diabetes"),
    )
    return exact | dict(learned)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    one_thread()
    found = people()
    real = found.schema.decode(found.of("test"))
    for model in given.model:
        _, joint, _ = open_model(model)
        by_pair = order_gaps(joint, found.of("test"), given.pairs, given.seed)
        gaps = np.concatenate(list(by_pair.values()))
        high = np.quantile(gaps, 0.95)
        print(
            f"\n{describe(model)}: log P(a, b) in both orders, {len(gaps)} people and pairs: "
            f"mean gap {gaps.mean():.4f} nat, median {np.median(gaps):.4f}, 95 % below {high:.3f}"
        )
        kept = {"order_consistency_nat/mean": gaps.mean(), "order_consistency_nat/median": np.median(gaps)}
        worst = sorted(by_pair, key=lambda pair: -by_pair[pair].mean())[:5]
        print("  worst pairs: " + "; ".join(f"{pair} {by_pair[pair].mean():.3f}" for pair in worst))
        blank = np.full((given.samples, len(joint.schema)), np.nan)
        drawn = joint.sample(blank, np.random.default_rng(given.seed))
        ours, theirs = identities(joint.schema.decode(drawn)), identities(real)
        for name, (holds, there) in ours.items():
            also, judged = theirs[name]
            people_share = 100 * also[judged].mean() if judged.any() else np.nan
            print(f"  {name:32s}{100 * holds[there].mean():7.2f} %   real people {people_share:7.2f} %")
        shares = [holds[there].mean() for holds, there in ours.values()]
        keep("consistency", model, {**kept, "identities_held/least": min(shares)})


if __name__ == "__main__":
    main()
