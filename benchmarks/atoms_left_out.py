"""Is an element family noticed that a potential never saw? A small one is trained without it, then asked.

    OMP_NUM_THREADS=1 python -m benchmarks.atoms_left_out --stores runs/dft runs/labels --family halogens

Every structure with an element of the family is taken out of the training; a small network learns the rest
for some minutes and is calibrated as the shipped one is. Then it is asked about development structures (of
chemical systems it was not trained on either way) with the family and without. AUROC, each structure by its
strangest atom:

- support: distance of what the network sees around an atom to what it saw around atoms of the same element
  in training (infinite for an element never seen);
- all: the same, but to atoms of any element;
- spread: predicted error of forces;
- check: what an answer's verdict goes by: the distance, and before it elements and pairs of elements that
  were never seen (an unknown element is refused without looking at the distance).

With --compounds the family's elements stay, and only what they form with others is left out: the harder test.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase.data import atomic_numbers

from benchmarks.atoms_uncertainty import FAMILIES, auroc
from sciai.atoms.data.records import Record, is_dev
from sciai.atoms.data.store import Store
from sciai.atoms.model.network import Network
from sciai.atoms.model.potential import closest_seen, support
from sciai.atoms.train.calibrate import Calibrate
from sciai.atoms.train.data import Structures, collate, module
from sciai.atoms.train.loss import Loss
from sciai.core.data import DataModule
from sciai.trust.support import Knn, KnnOfKind

REACH = (3.4, 0.66, 6.5)
SOURCES = {"mptrj": 0, "alexandria": 0, "mattersim": 0, "7net-0": 0, "chgnet": 1}
TAUGHT = ("7net-0", "chgnet")
LIMITS = {"default": [50, -200, 1200], "mptrj": [50, -40, 300]}
FRACTIONS = {"train": 0.9, "calibrate": 0.1}
MEASURES = ("support", "all", "spread", "check")


def has(record: Record, family: set[int], compounds: bool = False) -> bool:
    """Whether any atom is of the family (and any other is not)."""
    present = {int(z) for z in record.numbers}
    return bool(family & present) and (not compounds or len(present) > 1)


def trained(records: Sequence[Record], minutes: float, seed: int) -> tuple[Network, DataModule]:
    """A small network after so many CPU minutes, calibrated."""
    torch.manual_seed(seed)
    data = module(
        records, SOURCES, REACH, 16, FRACTIONS, seed, limits=LIMITS, train_only=TAUGHT, most_pairs=4000
    )
    net = Network(channels=48, lmax=1, carried=1, triples=[], reach=REACH, sources=SOURCES)
    lesson = Loss(energy=5.0, forces=1.0, stress=5.0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.02)
    start, spent, steps = time.process_time(), 0.0, 0
    while spent < 60 * minutes:
        for batch in data.loader("train"):
            spent = time.process_time() - start
            if spent >= 60 * minutes:
                break
            for group in optimizer.param_groups:
                group["lr"] = 4e-3 * max(0.02, 0.5 + 0.5 * np.cos(np.pi * spent / (60 * minutes)))
            optimizer.zero_grad()
            lesson(net, batch)["loss"].backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            steps += 1
    net.requires_grad_(False).eval()
    Calibrate()(net, data)
    print(f"{len(data.part('train'))} structures, {steps} steps", flush=True)
    return net, data


def scores(net: Network, records: Sequence[Record]) -> dict[str, np.ndarray[Any, Any]]:
    """Strangeness of each structure by each measure, and its force error."""
    measure = support(net).measure
    assert isinstance(measure, KnnOfKind)
    everyone = Knn(measure.known, measure.scale, measure.k)
    seen = np.isfinite(closest_seen(net))
    dataset = Structures(records, SOURCES, REACH, 10**9)
    out: dict[str, list[float]] = {name: [] for name in (*MEASURES, "error", "size")}
    for k in range(len(dataset)):
        batch = collate([dataset[k]])
        answer = net.predict(batch.graph)
        rows = answer.descriptor.double().numpy()
        distance = measure.distance(np.column_stack([rows, batch.graph.numbers.numpy()]))
        out["all"].append(float(everyone.distance(rows).max()))
        z = batch.graph.numbers[batch.graph.edges].numpy()
        new = bool((~seen.any(1)[batch.graph.numbers.numpy()]).any())
        pairs = float((~seen[z[0], z[1]]).mean()) if z.size else 0.0
        out["support"].append(float(distance.max()))
        out["spread"].append(float(answer.force_sd.max()))
        out["check"].append(np.inf if new else float(distance.max()) + 100.0 * pairs)
        assert answer.forces is not None  # they are asked for
        out["error"].append(float((answer.forces - batch.forces).abs().nanmean()))
        out["size"].append(float(batch.forces.abs().nanmean()))
    return {name: np.array(values) for name, values in out.items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stores", nargs="+", required=True)
    parser.add_argument("--family", choices=list(FAMILIES), nargs="+", default=["halogens"])
    parser.add_argument("--compounds", action="store_true", help="leave out compounds, keep elements")
    parser.add_argument("--minutes", type=float, default=6.0, help="CPU minutes of training")
    parser.add_argument("--largest", type=int, default=32, help="atoms of a structure at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    everything = [r for r in Store(*options.stores) if r.source in SOURCES and len(r) <= options.largest]
    table = {}
    for name in options.family:
        family = {atomic_numbers[symbol] for symbol in FAMILIES[name]}
        kept = [r for r in everything if not has(r, family, options.compounds)]
        net, _ = trained(kept, options.minutes, options.seed)
        dev = [r for r in everything if is_dev(r.group) and r.source not in TAUGHT]
        known, strange = (scores(net, [r for r in dev if has(r, family) is side]) for side in (False, True))
        row = {key: auroc(known[key], strange[key]) for key in MEASURES}
        for side, found in (("known", known), ("strange", strange)):
            row[side] = len(found["error"])
            row[f"{side}_force_relative"] = float(found["error"].mean() / found["size"].mean())
        table[name] = row
        if not options.json:
            print(
                f"trained without {name}: {row['known']} structures without, {row['strange']} with; AUROC by "
                f"support {row['support']:.3f}, all {row['all']:.3f}, spread {row['spread']:.3f}, check "
                f"{row['check']:.3f}; force error {row['known_force_relative']:.2f} and "
                f"{row['strange_force_relative']:.2f} of the forces",
                flush=True,
            )
    if options.json:
        print(json.dumps(table))


if __name__ == "__main__":
    main()
