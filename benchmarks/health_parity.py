"""One joint model against one tuned LightGBM for each question: log loss of every column, AUROC of diagnoses.

Same people, same inputs ("basic"; "check-up": also the laboratory), what gives a target away left out for
both (`sciai.health.data.leaks`). Numbers are scored in nats over 50 bins of the training
people's values (fewer where values repeat).

    python -m benchmarks.health_parity --model health [MORE ...] --cache FOLDER [--inputs basic] [TARGET ...]

The first model is the one judged; a model called "copula" is what it has to beat. Baselines that the cache
does not hold are trained (about an hour for all, on one core).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.health_data import (
    OUT,
    add_models,
    describe,
    keep,
    one_thread,
    open_model,
    people,
    questions,
    table,
)
from benchmarks.health_lightgbm import Question, cached
from sciai.health.api.evaluate import ColumnScore, auroc, figures
from sciai.health.api.predictions import Prediction, predict
from sciai.health.data.leaks import INPUTS

PEER = "LightGBM"


def peer(q: Question, p: np.ndarray, kind: str) -> Prediction:
    """LightGBM's answer in the form of ours."""
    rows, nothing = q.parts["test"], np.full(len(p), np.nan)
    return Prediction(q.target, kind, rows, q.y[rows], q.bins[rows], p, nothing, nothing)


def gap(ours: Prediction, theirs: Prediction, draws: int = 300) -> tuple[float, float]:
    """Difference of AUROC and its standard error, by redrawing people in pairs."""
    a, b, yes = ours.probabilities[:, 1], theirs.probabilities[:, 1], ours.bins == 1
    rng, told = np.random.default_rng(0), []
    for _ in range(draws):
        rows = rng.integers(len(yes), size=len(yes))
        if 0 < yes[rows].sum() < len(rows):
            told.append(auroc(a[rows], yes[rows]) - auroc(b[rows], yes[rows]))
    return auroc(a, yes) - auroc(b, yes), float(np.std(told))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    parser.add_argument("--cache", type=Path, default=OUT / "health_baselines")
    parser.add_argument("--search", type=int, default=4)
    parser.add_argument("--inputs", nargs="+", default=list(INPUTS), choices=INPUTS)
    parser.add_argument("--cached-only", action="store_true", help="only targets with a baseline")
    parser.add_argument("--out", type=Path, default=OUT / "health_parity.json")
    parser.add_argument("targets", nargs="*")
    given = parser.parse_args()
    one_thread()
    found = people()
    schema, test = found.schema, found.values.copy()
    # nobody else's answers are asked for
    test[np.setdiff1d(np.arange(len(test)), found.parts["test"])] = np.nan
    models = {}
    for name in given.model:
        label, joint, calibration = open_model(name)
        models[label] = (joint, calibration)
        print(f"{label}: {describe(name)}")
    first = next(iter(models))
    record, worst = [], []
    kept: dict[str, float] = {}
    for which in given.inputs:
        asked = [q for q in questions(given.targets, (which,)) if not given.cached_only or holds(given, q)]
        cuts = {q.target: q.edges for q in asked if q.edges is not None}
        names = [q.target for q in asked]
        told = {m: predict(j, test, which, names, cuts, c) for m, (j, c) in models.items()}
        scores: dict[str, dict[str, ColumnScore]] = {}
        gaps = {}
        for q in asked:
            kind = str(schema[q.target].kind)
            seen = q.bins[q.parts["train"]]
            theirs = peer(q, cached(q, given.cache, given.search)[0], kind)
            own = {PEER: figures(theirs, seen)} | {m: figures(told[m][q.target], seen) for m in models}
            scores[q.target] = own
            if kind == "binary" and np.isfinite(own[PEER].auroc):
                gaps[q.target] = gap(told[first][q.target], theirs)
            record.append({"inputs": which, "target": q.target} | {m: asdict(s) for m, s in own.items()})
        report(which, list(models), scores, gaps, found.values, schema)
        if not given.targets:
            some, cases = summary(which, first, scores, gaps, found.values, schema)
            kept |= some
            worst += cases
    if kept:
        keep("parity", given.model[0], kept, worst)
    OUT.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(record, indent=1))


def summary(
    which: str, first: str, scores: dict, gaps: dict, values: np.ndarray, schema: Any
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Figures and worst cases for the card."""
    told = {t: (own[first].nll, own[PEER].nll) for t, own in scores.items()}
    ours, theirs = np.array(list(told.values())).mean(0)
    behind = {
        t: gain
        for t, (gain, _) in gaps.items()
        if t.startswith("dx_") and np.nansum(values[:, schema.index(t)]) >= 200
    }
    figures = {
        f"nll_against_lightgbm/{which}": ours / theirs - 1,
        f"auroc_against_lightgbm/{which}/mean": float(np.mean(list(behind.values()))),
        f"auroc_against_lightgbm/{which}/worst": min(behind.values()),
        f"auroc_against_lightgbm/{which}/behind_by_.01": sum(g < -0.01 for g in behind.values()),
    }
    for other in (m for m in next(iter(scores.values())) if "copula" in m):
        better = np.mean([own[first].nll < own[other].nll for own in scores.values()])
        figures[f"better_than_copula/{which}"] = float(better)
    far = sorted(told, key=lambda t: told[t][1] - told[t][0])[:4]
    cases = [
        {"column": t, "inputs": which, "nats_behind_lightgbm": float(told[t][0] - told[t][1])} for t in far
    ]
    return figures, cases


def holds(given: argparse.Namespace, q: Question) -> bool:
    """Whether the baseline is in the cache."""
    return (given.cache / f"{q.inputs}_{q.target}_{q.key({'search': given.search})}.npz").exists()


def report(which: str, models: list[str], scores: dict, gaps: dict, values: np.ndarray, schema: Any) -> None:
    """Print the figures of one input set."""
    first, names, everybody = models[0], list(scores), (PEER, *models)
    mean = {m: float(np.mean([scores[t][m].nll for t in names])) for m in everybody}
    marginal = float(np.mean([scores[t][PEER].marginal for t in names]))
    print(f"\ninputs {which!r}: {len(names)} columns, mean NLL in nats (marginal {marginal:.4f})")
    for m, value in mean.items():
        print(f"  {m:12s}{value:8.4f}  {100 * (value / mean[PEER] - 1):+6.2f} % of {PEER}")
    for other in (m for m in models[1:] if "copula" in m):
        better = np.mean([scores[t][first].nll < scores[t][other].nll for t in names])
        print(f"  {first} better than {other} on {100 * better:.0f} % of columns")
    rows = []
    for t in sorted(names, key=lambda t: scores[t][PEER].nll - scores[t][first].nll):
        told = scores[t]
        nlls = [told[m].nll for m in everybody]
        rows.append([t, told[PEER].n, told[PEER].marginal, *nlls, f"{nlls[1] - nlls[0]:+.3f}"])
    print(table(rows, ["column (worst first)", "n", "marginal", *everybody, "gap"]))
    rows, behind = [], []
    for t, (gain, sd) in sorted(gaps.items(), key=lambda pair: pair[1][0]):
        cases = int(np.nansum(values[:, schema.index(t)]))
        if cases < 200:
            continue
        told = [scores[t][m] for m in everybody]
        auc, ece, brier = ([getattr(s, name) for s in told] for name in ("auroc", "ece", "brier"))
        rows.append([t, cases, told[0].cases, *auc, f"{gain:+.3f}", sd, *ece, *brier])
        if t.startswith("dx_"):
            behind.append(gain)
    if rows:
        print(f"\nyes/no columns with 200 cases, inputs {which!r}: AUROC, gap (and its sd), ECE, Brier")
        print(table(rows, ["column", "cases", "test", *everybody, "gap", "sd", *everybody, *everybody]))
    if behind:
        far = [sum(b < -limit for b in behind) for limit in (0.01, 0.02)]
        print(
            f"{len(behind)} diagnoses: mean gap {np.mean(behind):+.4f}, worst {min(behind):+.3f}; "
            f"behind by more than .01: {far[0]}, by more than .02: {far[1]}"
        )


if __name__ == "__main__":
    main()
