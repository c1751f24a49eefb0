"""The privacy audit (`sciai.health.api.privacy`) of checkpoints.

Members are the people a model was trained on. Others are those of the training part that were set aside at
random (the card says so): they live in the same places and differ in nothing else. The test people live
elsewhere; how well they are told from members is printed beside, and is the difference of places as well. A
card that says of nobody set aside is audited against the test people alone. How ordinary a person is comes
from copulas fitted to random halves of the people of the other parts (intervals were fitted to those, too).
Canaries are those that the card says were planted. That the audit finds a model that learned by heart is
shown in tests/health/api/test_privacy.py.

    python -m benchmarks.health_privacy --model health [--most 1500] [--shadow runs/split1/model ...]

With models of the same recipe on other splits (`benchmarks.health_splits` says how they are made) the
strongest attack is run, too: its figure is told apart, and its verdict is in the words on the card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.health_data import OUT, add_models, describe, keep, one_thread, open_model, people
from sciai.core.checkpoint import Checkpoint
from sciai.core.resources import checkpoints_dir
from sciai.health.api.privacy import SHADOWS, audit
from sciai.health.data.canaries import canaries
from sciai.health.data.columns import Schema


def references(schema: Schema, rest: np.ndarray, count: int = 3, seed: int = 0) -> list[Any]:
    """Copulas of random halves of people who are neither members nor attacked others."""
    from sciai.health.model.copula import CopulaJoint, fit_copula

    rng = np.random.default_rng(seed)
    halves = [rest[rng.permutation(len(rest))[: len(rest) // 2]] for _ in range(count)]
    return [CopulaJoint(fit_copula(schema, half, rounds=3)) for half in halves]


def planted(saved: Checkpoint) -> np.ndarray | None:
    """The canaries that the card says were in the training, drawn again."""
    told = dict(saved.card.calibration.get("privacy", {})).get("canaries")
    if not told:
        return None
    part = "trained" if _watched(saved) else "train"
    return canaries(people().of(part), int(told["n"]), int(told["seed"]))


def _watched(saved: Checkpoint) -> bool:
    """Whether people were set aside from its training, the same as in today's configuration."""
    told = dict(saved.card.calibration.get("privacy", {})).get("set_aside", 0)
    if told not in (0, len(people().watched["aside"])):
        raise SystemExit(
            f"{told} people were set aside for {saved.card.name}: conf/domain/health has changed"
        )
    return bool(told)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    parser.add_argument("--most", type=int, default=1500, help="members, and others, attacked at the most")
    parser.add_argument("--references", type=int, default=3)
    parser.add_argument("--shadow", nargs="*", default=[], metavar="FOLDER", help="models of other splits")
    parser.add_argument("--attempts", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=OUT / "health_privacy.json")
    given = parser.parse_args()
    one_thread()
    found = people()
    outside = references(found.schema, found.of("val", "calibrate"), given.references)
    record = {}
    for model in given.model:
        folder = Path(model) if Path(model).is_dir() else checkpoints_dir() / model
        saved = Checkpoint.load(folder)
        label, joint, _ = open_model(model)
        parts = ("trained", "aside", "test") if _watched(saved) else ("train", "test")
        groups = [[found.groups[i] for i in found.rows(part)] for part in parts]
        result = audit(
            joint,
            found.of(parts[0]),
            found.of(parts[1]),
            references=outside,
            shadows=[open_model(name)[1] for name in given.shadow],
            planted=planted(saved),
            groups=(groups[0], groups[1]),
            elsewhere=(found.of("test"), groups[2]) if len(parts) > 2 else None,
            attempts=given.attempts,
            most=given.most,
            epsilon=dict(saved.card.calibration.get("privacy", {})).get("epsilon"),
        )
        print(f"\n{describe(model)}")
        pairs = [("", m) for m in result.memberships] + [("other places, ", m) for m in result.elsewhere]
        for against, attack in pairs:
            print(
                f"  membership, {against + attack.attack:42s} AUC {attack.auc:.3f} ({attack.low:.3f} to "
                f"{attack.high:.3f}), {100 * attack.tpr:.1f} % found at 1 % false alarms"
            )
        for finding in result.findings()[1:]:
            print(f"  {finding}")
        print(f"  {result.words()}", flush=True)
        record[label] = result.as_dict()
        by_name = {attack.attack: attack for attack in result.memberships}
        shadowed = by_name.pop(SHADOWS, None)
        worst = max(by_name.values(), key=lambda attack: attack.auc)
        kept = {
            "privacy/membership_auc": worst.auc,
            "privacy/membership_auc_low": worst.low,
            "privacy/membership_auc_high": worst.high,
            "privacy/membership_tpr_at_1_percent": worst.tpr,
            "privacy/singling_out_risk": result.singling.risk,
            "privacy/singling_out_risk_low": result.singling.low,
            "privacy/attribute_excess_nat": max(a.excess for a in result.attributes),
        }
        if shadowed is not None:
            kept |= {
                "privacy/shadow_membership_auc": shadowed.auc,
                "privacy/shadow_membership_tpr_at_1_percent": shadowed.tpr,
            }
        if result.elsewhere:
            far = max(result.elsewhere, key=lambda m: m.auc)
            kept |= {
                "privacy/other_places_auc": far.auc,
                "privacy/other_places_auc_low": far.low,
                "privacy/other_places_auc_high": far.high,
            }
        if result.canaries is not None:
            kept |= {
                "privacy/canary_exposed": result.canaries.exposed,
                "privacy/canary_exposure_bits": result.canaries.mean,
                "privacy/canary_p": result.canaries.p,
            }
        keep("privacy", model, kept, words=result.words())
    OUT.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
