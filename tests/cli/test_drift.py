"""Streams of questions that have left what was learned raise an alarm, others do not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from sciai.atoms.api.files import write
from sciai.cli import main
from sciai.core.listen import listening
from sciai.health import VirtualHuman
from sciai.radar.api.distance import features, learned
from sciai.trust.drift import Drift
from sciai.trust.ledger import Ledger
from sciai.trust.record import Recorder
from sciai.trust.sign import Signer


def told(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> dict[str, object]:
    capsys.readouterr()
    assert main(["drift", *map(str, words), "--json"]) == code
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def human() -> VirtualHuman:
    return VirtualHuman.load()


COLUMNS = [
    "age",
    "sex",
    "height_cm",
    "weight_kg",
    "waist_cm",
    "sbp",
    "dbp",
    "hemoglobin",
    "rbc",
    "mcv",
    "hba1c",
]


def test_people_like_those_learned_from_and_others(
    human: VirtualHuman, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = human.sample(80, seed=3)[COLUMNS]
    people.to_csv(tmp_path / "same.csv", index=False)
    same = told(capsys, "health", tmp_path / "same.csv")
    assert same["questions"] == 80
    assert same["alarmed_at"] is None
    rng = np.random.default_rng(0)
    mixed = people.copy()
    for name in ("weight_kg", "dbp", "mcv", "rbc"):  # each value is usual, the combinations are not
        mixed[name] = rng.permutation(mixed[name].to_numpy())
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    other = told(capsys, "health", tmp_path / "mixed.csv", code=3)
    assert other["alarmed_at"] is not None
    assert "farther" in str(other["findings"])


def test_a_ledger_is_a_stream_though_it_keeps_digests(
    human: VirtualHuman, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger.create(tmp_path / "answers", Signer.new("service"))
    strange = {"age": 40, "sex": "male", "height_cm": 200, "weight_kg": 45, "sbp": 95, "dbp": 90}
    with listening(Recorder(ledger)):
        for number in range(12):
            person = human.given({**strange, "hba1c": 9 + number / 3})
            person.ask("egfr")
            person.ask("alt")
    found = told(capsys, "health", tmp_path / "answers", code=3)
    assert found["questions"] == 12, "the same person asked twice at once is one question"
    assert told(capsys, "health", tmp_path / "answers", "--rate", "1e-30")["alarmed_at"] is None
    assert main(["drift", "radar", str(tmp_path / "answers")]) == 1
    assert "has a distance" in capsys.readouterr().err


def test_what_does_not_count_is_said(
    human: VirtualHuman, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused at sight, answered by another model, altered: none of it changed the verdict OK."""
    ledger = Ledger.create(tmp_path / "answers", Signer.new("service"))
    body = {"age": 40, "sex": "male", "height_cm": 180, "weight_kg": 80, "sbp": 125, "dbp": 80}
    with listening(Recorder(ledger)):
        human.given(body).ask("egfr")
        human.given({"age": 3, "sex": "male", "bmi": 25}).ask("egfr")
    entry = ledger.find("0").body
    ledger.append("answer", {**entry, "provenance": {**entry["provenance"], "checkpoint": "0" * 64}})
    found = told(capsys, "health", tmp_path / "answers")
    assert found["questions"] == 1
    assert "1 more answers of health were answered by another checkpoint" in str(found["findings"])
    assert "1 more answers of health were refused before" in str(found["findings"])
    assert main(["drift", "health", str(tmp_path / "answers"), str(tmp_path / "people.csv")]) == 1
    assert "one by one" in capsys.readouterr().err
    lines = (tmp_path / "answers" / "entries.jsonl").read_text()
    (tmp_path / "answers" / "entries.jsonl").write_text(lines.replace('"distance":', '"distance":0', 1))
    assert main(["drift", "health", str(tmp_path / "answers")]) == 1
    assert "does not hold" in capsys.readouterr().err


def test_structures_unlike_those_learned_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    gas = [
        Atoms("CuCl4F3", positions=rng.uniform(0, 7.5, (8, 3)), cell=[7.5] * 3, pbc=True) for _ in range(25)
    ]
    for number, atoms in enumerate(gas):
        for other in range(8):  # nothing overlaps, or it would be refused unseen
            atoms.positions[other] = 3.75 * np.array([other & 1, other >> 1 & 1, other >> 2]) + rng.normal(
                0, 0.2, 3
            )
        write(atoms, tmp_path / f"{number}.extxyz")
    files = sorted(tmp_path.glob("*.extxyz"))
    found = told(capsys, "atoms", *files, code=3)
    assert found["held_out"] == 4096
    assert "farther" in str(found["findings"])


def test_volumes_are_ranked_among_other_radars() -> None:
    known = learned()
    rng = np.random.default_rng(1)
    same = Drift(known.held_out.tolist())
    same.observe(rng.choice(known.held_out, 30) * rng.uniform(0.98, 1.02, 30))
    assert same.alarmed_at is None
    noise = rng.normal(20, 15, (90, 200)).astype("f4")
    far = known.measure.distance(features(noise, np.zeros((90, 200), np.uint8))[None])[0]
    other = Drift(known.held_out.tolist())
    other.observe(np.full(20, far) + rng.normal(0, 0.01, 20))
    assert other.alarmed_at is not None


def test_what_cannot_be_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drift", "weather", str(tmp_path)]) == 1
    assert "choose atoms, health or radar" in capsys.readouterr().err
    (tmp_path / "people.csv").write_text("age\n40\n")
    assert main(["drift", "health", str(tmp_path / "people.csv")]) == 1
    assert "has a distance" in capsys.readouterr().err
    write(bulk("Cu"), tmp_path / "Cu.extxyz")
    assert main(["drift", "radar", str(tmp_path / "Cu.extxyz")]) == 1
