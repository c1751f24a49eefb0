"""Do risks mean what they say, and do 90 % intervals hold 90 %? Overall, and in each group of people.

Held-out people; intervals and risks as the card's calibration moves them, and (raw) as the model says them. A
group's coverage is over all its people and all columns that are numbers; people of one group are few, so its
count of people is printed beside that of values.

The ECE of few people is above 0 even where every risk is exactly right; what it would be then is printed
beside, and so is what the worst of all diagnoses would be.

    python -m benchmarks.health_calibration --model health [--inputs basic check-up]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.health_data import (
    OUT,
    add_models,
    describe,
    edges,
    keep,
    one_thread,
    open_model,
    people,
    table,
    targets,
)
from sciai.health.api.evaluate import figures
from sciai.health.api.predictions import Prediction, predict
from sciai.health.data.leaks import INPUTS
from sciai.health.model.calibration import decade
from sciai.trust.score import ece

LEAST = 200


def groups(values: np.ndarray) -> np.ndarray:
    """Sex, age decade and ethnicity of each person, in words."""
    schema = people().schema

    def words(name: str) -> list[str]:
        levels = schema[name].levels
        return [levels[int(v)] if np.isfinite(v) else "unknown" for v in values[:, schema.index(name)]]

    ages = values[:, schema.index("age")]
    return np.array(
        [f"{s}, {decade(a)}, {e}" for s, a, e in zip(words("sex"), ages, words("race_eth"), strict=True)]
    )


def inside(told: Prediction) -> np.ndarray:
    """Whether each truth is in its interval."""
    return (told.truth >= told.lower) & (told.truth <= told.upper)


def by_chance(told: Prediction, draws: int = 300) -> np.ndarray:
    """The ECE that the same risks would have if they were exactly right, in so many draws of the outcomes."""
    p, rng = told.probabilities[:, 1], np.random.default_rng(list(told.target.encode()))
    return np.array([ece(p, (rng.random(len(p)) < p).astype(int)) for _ in range(draws)])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    parser.add_argument("--inputs", nargs="+", default=list(INPUTS), choices=INPUTS)
    parser.add_argument("--out", type=Path, default=OUT / "health_calibration.json")
    given = parser.parse_args()
    one_thread()
    found = people()
    test, names, cuts = found.of("test"), targets(found.schema), edges(found.schema)
    group = groups(test)
    record = {}
    for model in given.model:
        label, joint, calibration = open_model(model)
        kept: dict[str, float] = {}
        worst_groups: list[dict[str, Any]] = []
        for which in given.inputs:
            told = predict(joint, test, which, names, cuts, calibration)
            raw = predict(joint, test, which, names, cuts)
            scores = {name: (figures(told[name]), figures(raw[name])) for name in told}
            risks = [(n, s, r) for n, (s, r) in scores.items() if n.startswith("dx_") and s.cases >= 20]
            numbers = [n for n in told if np.isfinite(told[n].lower).any()]
            print(f"\n{describe(model)}, inputs {which!r}, {len(test)} held-out people")
            drawn = {n: by_chance(told[n]) for n, _, _ in risks}
            chance = {n: (float(np.mean(d)), float(np.quantile(d, 0.95))) for n, d in drawn.items()}
            exact = np.max(list(drawn.values()), 0)
            rows = [
                [n, s.cases, s.ece, r.ece, *chance[n]] for n, s, r in sorted(risks, key=lambda x: -x[1].ece)
            ]
            head = ["diagnosis, worst first", "cases", "ECE", "raw ECE", "if exact", "95 % below"]
            print(table(rows, head))
            beyond = [n for n, s, _ in risks if s.ece > chance[n][1]]
            print(f"ECE beyond what exact risks would show of so many people: {', '.join(beyond) or 'none'}")
            worst = max(s.ece for _, s, _ in risks)
            mean = float(np.mean([s.ece for _, s, _ in risks]))
            print(f"ECE of diagnoses: mean {mean:.4f}, worst {worst:.4f}")
            print(
                f"the worst of exact risks: median {np.median(exact):.4f}, 90 % from "
                f"{np.quantile(exact, 0.05):.4f} to {np.quantile(exact, 0.95):.4f}"
            )
            rows = [[n, scores[n][0].n, scores[n][0].coverage, scores[n][1].coverage] for n in numbers]
            rows.sort(key=lambda row: row[2])
            print(table(rows, ["interval, lowest coverage first", "n", "coverage", "raw"]))
            hits = np.concatenate([inside(told[n]) for n in numbers])
            raws = np.concatenate([inside(raw[n]) for n in numbers])
            who = np.concatenate([told[n].rows for n in numbers])
            print(f"90 % intervals hold {hits.mean():.4f} (raw {raws.mean():.4f}) of {len(hits)} values")
            cells = []
            for name in np.unique(group):
                own = group[who] == name
                if own.sum() >= LEAST:
                    some, held = len(np.unique(who[own])), (float(hits[own].mean()), float(raws[own].mean()))
                    cells.append([name, some, int(own.sum()), *held])
            cells.sort(key=lambda row: row[3])
            print(table(cells, ["sex, age decade, ethnicity", "people", "values", "coverage", "raw"]))
            off = [c for c in cells if not 0.85 <= c[3] <= 0.95]
            many = [c for c in cells if c[1] >= 20]
            print(
                f"{len(cells)} groups with {LEAST} values or more, not in 85 to 95 %: {len(off)}; with 20 "
                f"people or more: {len(many)}, not in it: {sum(not 0.85 <= c[3] <= 0.95 for c in many)}"
            )
            record[f"{label} {which}"] = {
                "ece mean": mean, "ece worst": worst, "coverage": float(hits.mean()),
                "groups": cells, "groups outside": len(off),
            }  # fmt: skip
            kept |= {
                f"coverage/{which}": hits.mean(),
                f"coverage/{which}/groups_outside": sum(not 0.85 <= c[3] <= 0.95 for c in many),
                f"calibration_error/{which}/mean": mean,
                f"calibration_error/{which}/worst": worst,
                f"calibration_error/{which}/worst_if_exact": float(np.median(exact)),
                f"calibration_error/{which}/beyond_chance": len(beyond),
                f"calibration_error/{which}/mean_if_exact": float(np.mean([c[0] for c in chance.values()])),
            }
            worst_groups += [
                {"group": c[0], "inputs": which, "people": c[1], "coverage_of_90_percent_intervals": c[3]}
                for c in sorted(many, key=lambda c: -abs(c[3] - 0.9))[:2]
            ]
        keep("calibration", model, kept, worst_groups)
    OUT.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
