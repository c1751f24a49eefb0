"""Errors against DFT on the development systems of the shared sets, beside CHGNet and SevenNet-0.

    OMP_NUM_THREADS=1 python -m benchmarks.atoms_accuracy --data ../shared/data/atoms \\
        --teachers chgnet 7net-0 --cache runs/judges

Development systems were not trained on (`sciai.atoms.data.records.is_dev`); the teachers were trained on
MPtrj, which two of these sets are drawn from. Energies: ours answers at MPtrj's level, so other sets are also
given with the set's own element offsets ("own zero", least squares on its training systems), and labels of
metals that the Materials Project computes with a Hubbard U are moved to where ours answers, the zero without
(`sciai.atoms.data.levels`); the teachers learned them as they are, and are asked so. CHGNet's energies hold
further corrections that these labels do not have; they are given for completeness only. Frames of
mptrj-highest-stress with more than 35 GPa of tension are left out: failed calculations.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sciai.atoms.data.levels import answers_on_one_zero, on_one_zero
from sciai.atoms.data.readers import records_from
from sciai.atoms.data.records import Record, is_dev
from sciai.atoms.data.store import Store
from sciai.atoms.train.data import GPA, Structures, collate
from sciai.atoms.train.figures import Tally

SETS = {
    "random-TP": "mattersim",
    "mpf-TP": "mattersim",
    "mptrj-random-1k": "mptrj",
    "mptrj-highest-stress-1k": "mptrj",
    "alexandria-random-1k": "alexandria",
}
LIMITS = {"mptrj": (1e9, -35.0, 300.0), "default": (1e9, -1e9, 1e9)}


def development(data: Path, cache: Path | None) -> dict[str, list[Record]]:
    """Development records of each set; kept as a store, as reading text takes a while."""
    out: dict[str, list[Record]] = {}
    for name, source in SETS.items():
        where = cache / "labels" / name if cache else None
        if where and where.is_dir():
            out[name] = list(Store(where))
            continue
        found = records_from(data / f"{name}.extxyz", source, kind=name, skip=lambda error: None)
        out[name] = [record for record in found if is_dev(record.group)]
        if where:
            Store.write(where, out[name])
    return out


def judged(name: str, records: Sequence[Record], where: Path | None) -> list[Record | None]:
    """A teacher's answers, from the cache where they are there."""
    from sciai.atoms.data.teachers import teacher

    if where and where.is_dir():
        return list(Store(where))
    done = teacher(name).label(list(records))
    if where and all(record is not None for record in done):
        Store.write(where, [record for record in done if record is not None])
    return done


def ours(checkpoint: str, records: Sequence[Record], source: str | None) -> list[Record]:
    """The potential's answers, at its own level or with a source's offsets."""
    from sciai.atoms.model.interface import load_net, predict
    from sciai.core.checkpoint import Checkpoint

    net: Any = load_net(Checkpoint.load(checkpoint))
    asked = source if source in net.sources else net.names[0]
    own = [replace(record, source=asked) for record in records]
    reach = Checkpoint.load(checkpoint).card.config["domain"]["net"]["reach"]
    dataset = Structures(own, net.sources, reach, 10**9)
    out: list[Record] = []
    for start in range(0, len(dataset), 16):
        graph = collate([dataset[i] for i in range(start, min(start + 16, len(dataset)))]).graph
        answer = predict(net, graph)
        for k in range(graph.n_graphs):
            mine = graph.batch == k
            forces, stress = answer.forces[mine].numpy(), answer.stress[k].numpy()
            out.append(own[start + k].with_labels(float(answer.energy[k]), forces, stress, "sciai"))
    return out


def on_zero_of(checkpoint: str, records: Sequence[Record]) -> list[Record]:
    """Labels on the zero of the answers: where that is PBE, metals with a Hubbard U are moved."""
    from sciai.core.checkpoint import Checkpoint

    if not answers_on_one_zero(Checkpoint.load(checkpoint).card.config):
        return list(records)
    return [on_one_zero(record) for record in records]


def figures(records: Sequence[Record], answers: Sequence[Record | None]) -> dict[str, float]:
    """Errors of the answers, as ``Tally.summary``."""
    tally = Tally()
    for record, answer in zip(records, answers, strict=True):
        if answer is None:
            continue
        label, mine = record, answer
        tally.add(
            None if label.energy is None else (mine.energy - label.energy) / len(label),
            mine.forces - label.forces,
            np.abs(label.forces),
            None if label.stress is None else (mine.stress - label.stress)[np.triu_indices(3)] / GPA,
        )
    return tally.summary()


def physical(record: Record) -> bool:
    """Whether a frame counts; see the module's text."""
    if record.stress is None:
        return True
    _, low, high = LIMITS.get(record.source, LIMITS["default"])
    return low <= -float(np.trace(record.stress)) / 3 / GPA <= high


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the extxyz sets")
    parser.add_argument("--checkpoint", default="checkpoints/atoms")
    parser.add_argument("--teachers", nargs="*", default=[])
    parser.add_argument("--cache", type=Path, help="folder that keeps the teachers' answers")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name, records in development(options.data, options.cache).items():
        rows = {"sciai": ours(options.checkpoint, records, None)}
        rows["sciai, own zero"] = ours(options.checkpoint, records, SETS[name])
        for judge in options.teachers:
            rows[judge] = judged(judge, records, options.cache / judge / name if options.cache else None)
        keep = [k for k, record in enumerate(records) if physical(record)]
        own = on_zero_of(options.checkpoint, records)
        table[name] = {
            who: figures([(own if "sciai" in who else records)[k] for k in keep], [answers[k] for k in keep])
            for who, answers in rows.items()
        }
        table[name]["n"] = {"structures": len(keep)}
    if options.json:
        print(json.dumps(table))
        return
    print(
        "mean absolute errors, development systems; energy meV/atom (bias: median), forces meV/Å, stress GPa"
    )
    for name, rows in table.items():
        print(f"\n{name} ({rows.pop('n')['structures']:.0f} structures)")
        for who, row in rows.items():
            cells = (
                f"{key} {value:8.3f}" if value < 10 else f"{key} {value:8.0f}" for key, value in row.items()
            )
            shown = "  ".join(cells)
            print(f"  {who:16} {shown}")


if __name__ == "__main__":
    main()
