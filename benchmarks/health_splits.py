"""How far risks are off, and what is remembered, told by several splits: one model for each, of one recipe.

The people whom one split leaves out are too few to tell a calibration error of .02 from none: risks that are
exactly right would show more (`benchmarks.health_calibration` prints how much). Likewise 751 people set aside
tell the AUC of a membership attack to .01 only. So the same recipe is trained on several splits by place, and
each model is asked about the people that it did not learn from. Risks are put together, once per person (whom
several splits leave out counts in the first of them); of attacks the mean over splits is told.

The strongest attack takes models of the same recipe that learned from other draws of the same source: each
model is attacked with the others as such. They also tell how much of an AUC is the chance of who was set
aside.

    for seed in 1 2 3 4; do
        sciai train health domain.data.seed=$seed out=runs/split$seed
    done
    python -m benchmarks.health_splits --model health runs/split1/model ...

A recipe that sets nobody aside (`+experiment=health_dp`) is trained with
`domain.data._target_=sciai.health.data.watched.WatchedData +domain.data.aside=0.06 +domain.data.planted=0`
besides.

Each model's own errors cancel in part when risks are put together: the figure is the recipe's.

Which split a model is of stands on its card.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.health_calibration import by_chance
from benchmarks.health_data import add_models, describe, keep, one_thread, open_model, table
from benchmarks.health_privacy import references
from sciai.core.checkpoint import Checkpoint
from sciai.core.resources import checkpoints_dir
from sciai.core.run import build_data, compose
from sciai.health.api.predictions import Prediction, predict
from sciai.health.api.privacy import SHADOWS, audit
from sciai.health.api.privacy_attacks import Membership, membership
from sciai.health.data.leaks import INPUTS
from sciai.trust.score import ece


@dataclass
class Pooled:
    """Risks of one diagnosis told of the people of several splits, and what was so."""

    risks: list[np.ndarray] = field(default_factory=list)
    truth: list[np.ndarray] = field(default_factory=list)

    def add(self, told: Prediction, places: np.ndarray) -> None:
        """Those of some places in the table that was asked about."""
        own = np.isin(told.rows, places)
        self.risks.append(told.probabilities[own, 1])
        self.truth.append(told.bins[own])

    def together(self, name: str) -> Prediction:
        """All of them as one answer."""
        p, y = np.concatenate(self.risks), np.concatenate(self.truth)
        nothing = np.full(len(p), np.nan)
        return Prediction(
            name, "binary", np.arange(len(p)), y.astype(float), y, np.stack([1 - p, p], 1), nothing, nothing
        )


MOST = 1500  # people attacked of each kind
CALIBRATED = "calibrated loss"
Answers = dict[str, dict[str, Pooled]]  # inputs -> diagnosis


def split_of(model: str) -> int:
    """The seed of the split that a model was trained on, as its card has it."""
    saved = Checkpoint.load(model if "/" in model else checkpoints_dir() / model)
    return int(saved.card.config["domain"]["data"]["seed"])


def attacked(model: str, data: Any, shadows: Sequence[str]) -> tuple[list[Membership], float]:
    """Attacks that tell people whom a model learned from and those set aside apart; and their chance.

    Of the shadow models, some learned from the one, some from the other: who is set aside is drawn anew. So
    what "calibrated loss" tells of these same people from *their* losses is the chance of the draw.
    """
    schema, values = data.dataset.schema, data.dataset.values
    rest = values[np.concatenate([data.split.parts[p] for p in ("val", "calibrate")])]
    names = np.array(list(map(str, data.dataset.groups)))
    chosen = np.sort(np.random.default_rng(0).permutation(data.trained)[:MOST])
    inside, outside = values[chosen], values[data.aside]
    outsiders, joint = references(schema, rest), open_model(model)[1]
    groups = (names[chosen], names[data.aside])
    result = audit(joint, inside, outside, references=outsiders, groups=groups, attempts=10, most=MOST)
    if not shadows:
        return list(result.memberships), 0.5
    both = (inside, outside)
    own, *others = ([j.log_prob(p) for p in both] for j in (joint, *(open_model(s)[1] for s in shadows)))
    ordinary = [np.mean([r.log_prob(p) for r in outsiders], 0) for p in both]
    drawn = [membership(CALIBRATED, *map(_gap, o, ordinary)).auc for o in others]
    alike = [np.mean([o[k] for o in others], 0) for k in (0, 1)]
    return [*result.memberships, membership(SHADOWS, *map(_gap, own, alike), groups)], float(np.mean(drawn))


def _gap(loss: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Log probability less the usual one; where one of them is none, the middle score, as in the audit."""
    with np.errstate(invalid="ignore"):
        gap = loss - usual
    return np.where(np.isfinite(gap), gap, np.median(gap[np.isfinite(gap)]))


def risks_of(model: str, data: Any, inputs: Sequence[str], fresh: np.ndarray, pooled: Answers) -> None:
    """Put what a model says of people that its split leaves out to what the others said."""
    _, joint, calibration = open_model(model)
    schema, values = data.dataset.schema, data.dataset.values[data.split.parts["test"]]
    names = [c.name for c in schema.columns if c.name.startswith("dx_")]
    for which in inputs:
        for name, told in predict(joint, values, which, names, {}, calibration).items():
            pooled[which].setdefault(name, Pooled()).add(told, fresh)


def calibration_error(which: str, of: dict[str, Pooled], people: int) -> dict[str, float]:
    """Print the ECE of each diagnosis; the worst, and what the worst of exact risks would be."""
    answers = {name: own.together(name) for name, own in of.items()}
    answers = {name: told for name, told in answers.items() if told.bins.sum() >= 20}
    off = {name: ece(told.probabilities[:, 1], told.bins) for name, told in answers.items()}
    drawn = {name: by_chance(told) for name, told in answers.items()}
    order = sorted(off, key=lambda n: -off[n])
    rows = [
        [n, int(answers[n].bins.sum()), off[n], float(drawn[n].mean()), float(np.quantile(drawn[n], 0.95))]
        for n in order
    ]
    print(f"\ninputs {which!r}, {people} people left out by their split")
    print(table(rows, ["diagnosis, worst first", "cases", "ECE", "if exact", "95 % below"]))
    exact = np.max(list(drawn.values()), 0)
    print(
        f"ECE of diagnoses: mean {np.mean(list(off.values())):.4f}, worst {off[order[0]]:.4f}; the worst of "
        f"exact risks: median {np.median(exact):.4f}, 95 % below {np.quantile(exact, 0.95):.4f}"
    )
    return {"worst": off[order[0]], "worst_if_exact": float(np.median(exact))}


def main() -> None:
    """Print one line for each diagnosis and each attack."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    parser.add_argument("--inputs", nargs="+", default=list(INPUTS), choices=INPUTS)
    given = parser.parse_args()
    one_thread()
    seen: set[int] = set()
    pooled: Answers = {which: {} for which in given.inputs}
    attacks: dict[str, list[Membership]] = {}
    chances: list[float] = []
    for model in given.model:
        seed = split_of(model)
        data = build_data(compose("health", [f"domain.data.seed={seed}"]))
        rows = np.asarray(data.split.parts["test"])
        fresh = np.flatnonzero([int(r) not in seen for r in rows])
        seen |= set(map(int, rows))
        print(f"{describe(model)}, split {seed}: {len(rows)} people left out, {len(fresh)} of them new")
        risks_of(model, data, given.inputs, fresh, pooled)
        found, chance = attacked(model, data, [name for name in given.model if name != model])
        chances.append(chance)
        for attack in found:
            print(f"  membership, {attack.attack:33s} AUC {attack.auc:.4f}", flush=True)
            attacks.setdefault(attack.attack, []).append(attack)
    many, kept = len(given.model), {}
    for which, of in pooled.items():
        for name, value in calibration_error(which, of, len(seen)).items():
            kept[f"calibration_error/{which}/{name}_of_{many}_splits"] = value
    print(f"\nmembership, mean of {many} splits")
    for name, own in attacks.items():
        auc = np.array([a.auc for a in own])
        # each interval is of 99 %, by drawing people again
        error = float(np.sqrt(np.mean([((a.high - a.low) / 5.15) ** 2 for a in own]) / many))
        print(f"  {name:33s} AUC {auc.mean():.4f}, standard error {error:.4f}")
        kept[f"privacy/membership_auc_of_{many}_splits/{name}"] = float(auc.mean())
    if many > 1:
        own = np.array([a.auc for a in attacks[CALIBRATED]]) - np.array(chances) + 0.5
        error = own.std(ddof=1) / np.sqrt(many)
        print(
            f"  {CALIBRATED}, less the chance of who was set aside (of models of other splits on the same "
            f"people {np.mean(chances):.4f}): {own.mean():.4f}, standard error {error:.4f}"
        )
        kept[f"privacy/membership_auc_of_{many}_splits/{CALIBRATED}, less chance"] = float(own.mean())
        keep("splits", given.model[0], kept)


if __name__ == "__main__":
    main()
