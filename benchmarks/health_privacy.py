"""The privacy audit (`sciai.health.api.privacy`) of checkpoints.

Members are the training people, others the test people (not the calibration people: intervals were fitted to
them). How ordinary a person is comes from copulas fitted to random halves of the people of the other parts.
Canaries are those that the card says were planted. That the audit finds a model that learned by heart is
shown in tests/health/api/test_privacy.py.

    python -m benchmarks.health_privacy --model health [--most 1500]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.health_data import OUT, add_models, describe, one_thread, open_model, people
from sciai.core.checkpoint import Checkpoint
from sciai.core.resources import checkpoints_dir
from sciai.health.api.privacy import audit
from sciai.health.data.canaries import canaries


def outside_models(count: int, seed: int = 0) -> list[Any]:
    """Copulas of random halves of the people who are neither members nor attacked others."""
    from sciai.health.model.copula import CopulaJoint, fit_copula

    found, rng = people(), np.random.default_rng(seed)
    rest = found.of("val", "calibrate")
    halves = [rest[rng.permutation(len(rest))[: len(rest) // 2]] for _ in range(count)]
    return [CopulaJoint(fit_copula(found.schema, half, rounds=3)) for half in halves]


def planted(saved: Checkpoint) -> np.ndarray | None:
    """The canaries that the card says were in the training, drawn again."""
    told = dict(saved.card.calibration.get("privacy", {})).get("canaries")
    if not told:
        return None
    return canaries(people().of("train"), int(told["n"]), int(told["seed"]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    parser.add_argument("--most", type=int, default=1500, help="members, and others, attacked at the most")
    parser.add_argument("--references", type=int, default=4)
    parser.add_argument("--attempts", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=OUT / "health_privacy.json")
    given = parser.parse_args()
    one_thread()
    found = people()
    references = outside_models(given.references)
    places = [[found.groups[i] for i in found.parts[part]] for part in ("train", "test")]
    record = {}
    for model in given.model:
        folder = Path(model) if Path(model).is_dir() else checkpoints_dir() / model
        saved = Checkpoint.load(folder)
        label, joint, _ = open_model(model)
        result = audit(
            joint,
            found.of("train"),
            found.of("test"),
            references=references,
            planted=planted(saved),
            groups=(places[0], places[1]),
            attempts=given.attempts,
            most=given.most,
            epsilon=dict(saved.card.calibration.get("privacy", {})).get("epsilon"),
        )
        print(f"\n{describe(model)}")
        for attack in result.memberships:
            print(
                f"  membership, {attack.attack:28s} AUC {attack.auc:.3f} ({attack.low:.3f} to "
                f"{attack.high:.3f}), {100 * attack.tpr:.1f} % found at 1 % false alarms"
            )
        for finding in result.findings()[1:]:
            print(f"  {finding}")
        print(f"  {result.words()}", flush=True)
        record[label] = result.as_dict()
    OUT.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
