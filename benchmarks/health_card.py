"""Put on a health checkpoint's card what the other benchmarks measured on these weights.

Each of `health_{parity,calibration,consistency,fidelity,anomalies,privacy,speed}` leaves its figures under
`benchmarks/out/health_figures/`, by weights and calibration; this collects them. What misses its target is
said among the known limits.

    python -m benchmarks.health_card --model FOLDER

Without --write it only prints.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from benchmarks.health_data import FIGURES, identity
from sciai.core.checkpoint import Checkpoint
from sciai.core.resources import checkpoints_dir

# figure -> (smallest, largest, what to say of it where it is outside)
TARGETS: dict[str, tuple[float | None, float | None, str]] = {
    "nll_against_lightgbm/basic": (None, 0.01, "Single columns are predicted worse than by a LightGBM each"),
    "nll_against_lightgbm/check-up": (
        None,
        0.01,
        "Single columns are predicted worse than by a LightGBM each",
    ),
    "auroc_against_lightgbm/basic/worst": (-0.01, None, "One diagnosis is told worse than by its LightGBM"),
    "auroc_against_lightgbm/check-up/worst": (
        -0.01,
        None,
        "One diagnosis is told worse than by its LightGBM",
    ),
    "better_than_copula/basic": (0.9, None, "The copula alone predicts some columns better, given little"),
    "better_than_copula/check-up": (0.9, None, "The copula alone predicts some columns better"),
    "calibration_error/basic/worst": (None, 0.02, "The risk of one diagnosis is off, given little"),
    "calibration_error/check-up/worst": (None, 0.02, "The risk of one diagnosis is off, given a check-up"),
    "coverage/basic": (0.88, 0.92, "90 % intervals do not hold 90 %"),
    "coverage/check-up": (0.88, 0.92, "90 % intervals do not hold 90 %"),
    "coverage/basic/groups_outside": (
        None,
        0,
        "In some groups 90 % intervals hold less than 85 or over 95 %",
    ),
    "coverage/check-up/groups_outside": (None, 0, "In some groups 90 % intervals hold under 85 or over 95 %"),
    "order_consistency_nat/mean": (None, 0.02, "P(a, b) depends a little on which is asked first"),
    "identities_held/least": (0.99, None, "Some virtual humans break a law of the body"),
    "fidelity/ks_columns_above_.03": (None, 0, "Columns of virtual humans differ from held-out people"),
    "fidelity/correlation_error": (None, 0.03, "Correlations of virtual humans are off"),
    "fidelity/two_sample_auc": (None, 0.60, "Virtual people can be told from real ones by a classifier"),
    "privacy/membership_auc": (None, 0.52, "An attacker tells who was in the training better than by chance"),
    "privacy/membership_auc_of_5_splits/calibrated loss": (
        None,
        0.52,
        "The same over models of five splits, in the mean",
    ),
    "privacy/shadow_membership_auc": (
        None,
        0.52,
        "Who holds most of the data it was made from, and trains models alike, tells who was in: do not give "
        "it away where membership is a secret",
    ),
    "privacy/membership_auc_of_5_splits/likelihood ratio to shadow models": (
        None,
        0.52,
        "The same over models of five splits, in the mean",
    ),
    "privacy/canary_exposed": (None, 0, "Planted canaries are recognised"),
    "privacy/canary_p": (0.01, None, "Planted canaries rank higher than others"),
    "privacy/singling_out_risk_low": (None, 0.0, "Descriptions single out training people"),
    "speed/question_processor_ms": (None, 50, "One question takes long"),
    "speed/virtual_humans_per_s_two_cores": (5000, None, "Virtual humans are slow to make"),
}

SEEN = (
    "Some settings were chosen with sight of the people these figures are of: they are a little optimistic."
)


def collected(model: str) -> tuple[dict[str, float], list[Any], list[str]]:
    """Figures, worst cases, and which benchmarks they are from."""
    folder = FIGURES / identity(model)
    figures: dict[str, float] = {}
    worst: list[Any] = []
    files = sorted(folder.glob("*.json"))
    for file in files:
        content = json.loads(file.read_text())
        figures |= content["figures"]
        worst += content["worst"]
    return figures, worst, [file.stem for file in files]


def misses(figures: dict[str, float]) -> list[str]:
    """A sentence for each figure that misses its target."""
    told = []
    for name, (low, high, words) in TARGETS.items():
        value = figures.get(name)
        if value is None or ((low is None or value >= low) and (high is None or value <= high)):
            continue
        wanted = (
            f"at least {low:g}"
            if high is None
            else f"at most {high:g}"
            if low is None
            else f"{low:g} to {high:g}"
        )
        extra = ""
        if name == "privacy/membership_auc":
            extra = f" (99 % interval {figures[f'{name}_low']:.3f} to {figures[f'{name}_high']:.3f})"
        if f"{name}_if_exact" in figures:
            extra = f"; exact risks of as many people: {figures[f'{name}_if_exact']:.3f}"
        if f"{name}_of_real_people" in figures:
            extra = f"; of real people elsewhere {figures[f'{name}_of_real_people']:.3g}"
        told.append(f"{words}: {name} is {value:.4g}{extra}, wanted {wanted}.")
    return told


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="health", metavar="NAME_OR_FOLDER")
    parser.add_argument("--write", action="store_true", help="change the card, in place")
    given = parser.parse_args()
    figures, worst, sources = collected(given.model)
    if not figures:
        raise SystemExit("nothing was measured on these weights: run the other benchmarks first")
    print(f"from {', '.join(sources)}")
    for name, value in figures.items():
        print(f"  {name:52s}{value:12.4f}")
    limits = [SEEN, *misses(figures)]
    print("\n".join(["limits:", *limits]))
    if not given.write:
        return
    folder = Path(given.model) if Path(given.model).is_dir() else checkpoints_dir() / given.model
    saved = Checkpoint.load(folder)
    written = dict(saved.card.config)["domain"]["card"]["known_limits"]
    privacy = FIGURES / identity(given.model) / "privacy.json"
    calibration = dict(saved.card.calibration)
    if privacy.exists():
        words = {"words": json.loads(privacy.read_text())["words"]}
        calibration["privacy"] = {**calibration.get("privacy", {}), **words}
    # where it was trained is of no use to those who get it
    config = {**saved.card.config, "out": "runs/health", "checkpoint": "runs/health/model"}
    if config["domain"]["net"].get("start"):
        net = {**config["domain"]["net"], "start": "runs/health/model"}
        config["domain"] = {**config["domain"], "net": net}
    card = dataclasses.replace(
        saved.card,
        config=config,
        metrics={k: v for k, v in saved.card.metrics.items() if k.startswith(("test/", "val/"))} | figures,
        calibration=calibration,
        worst=tuple(worst),
        known_limits=(*written, *limits),
    )
    print(dataclasses.replace(saved, card=card, hash="").save(folder, overwrite=True).hash)


if __name__ == "__main__":
    main()
