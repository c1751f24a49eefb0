"""Atoms per CPU second for energy, forces and stress of one structure, beside CHGNet and SevenNet-0.

One thread; rock salt with 8, 64 and 512 atoms, rattled, so that nothing is symmetric. Neighbour lists count,
for everyone. Each potential gets a first call that does not count (compilation, allocation), then the best
of several.

    OMP_NUM_THREADS=1 python -m benchmarks.atoms_throughput --peers chgnet sevennet
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def salt(repeat: int) -> Any:
    """Rattled NaCl with 8 repeat^3 atoms."""
    from ase.build import bulk

    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True).repeat(repeat)
    atoms.rattle(0.05, seed=1)
    return atoms


def ours(checkpoint: str) -> Callable[[Any], Any]:
    """Graph and network, without the checks that the api adds."""
    from sciai.atoms.data.graph import graphs_of
    from sciai.atoms.model.interface import load_net, predict
    from sciai.core.checkpoint import Checkpoint

    net = load_net(Checkpoint.load(checkpoint))
    return lambda atoms: predict(net, graphs_of([atoms], net.cutoff))


def ours_api(checkpoint: str) -> Callable[[Any], Any]:
    """What a user calls: with guards, spread and verdict."""
    from sciai.atoms import Potential

    return Potential.load(checkpoint)


def chgnet(_: str) -> Callable[[Any], Any]:
    """CHGNet 0.3.0."""
    from chgnet.model.dynamics import CHGNetCalculator

    return _calculator(CHGNetCalculator(use_device="cpu"))


def sevennet(_: str) -> Callable[[Any], Any]:
    """SevenNet-0."""
    from sevenn.calculator import SevenNetCalculator

    return _calculator(SevenNetCalculator("7net-0", device="cpu"))


def mattersim(_: str) -> Callable[[Any], Any]:
    """MatterSim v1.0.0 with a million weights."""
    from loguru import logger
    from mattersim.forcefield import MatterSimCalculator

    from sciai.atoms.data.weights import mattersim_weights

    logger.disable("mattersim")
    return _calculator(MatterSimCalculator(load_path=str(mattersim_weights("1M")), device="cpu"))


def _calculator(calc: Any) -> Callable[[Any], Any]:
    def ask(atoms: Any) -> Any:
        fresh = atoms.copy()
        fresh.calc = calc
        return fresh.get_potential_energy(), fresh.get_forces(), fresh.get_stress()

    return ask


def rate(ask: Callable[[Any], Any], atoms: Any, seconds: float) -> float:
    """Atoms per CPU second, best call."""
    moved = [atoms.copy() for _ in range(4)]
    for k, one in enumerate(moved):
        one.rattle(0.01, seed=k)
    ask(moved[0])
    best, spent, k = np.inf, 0.0, 1  # not the first again: calculators remember their last answer
    while spent < seconds or k < 4:
        start = time.process_time()
        ask(moved[k % len(moved)])
        took = time.process_time() - start
        best, spent, k = min(best, took), spent + took, k + 1
    return float(len(atoms) / best)


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default="checkpoints/atoms")
    parser.add_argument("--peers", nargs="*", default=[], choices=["chgnet", "sevennet", "mattersim"])
    parser.add_argument("--api", action="store_true", help="also the checked call, sciai.atoms.Potential")
    parser.add_argument("--repeats", nargs="*", type=int, default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU seconds per size")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    makers = {
        "sciai": ours,
        "sciai-api": ours_api,
        "chgnet": chgnet,
        "sevennet": sevennet,
        "mattersim": mattersim,
    }
    names = ["sciai", *(["sciai-api"] if options.api else []), *options.peers]
    table: dict[str, dict[int, float]] = {}
    for name in names:
        ask = makers[name](options.checkpoint)
        table[name] = {8 * r**3: rate(ask, salt(r), options.seconds) for r in options.repeats}
    if options.json:
        print(json.dumps(table))
        return
    print("atoms per CPU second (E, F, S; one thread)")
    for name, row in table.items():
        against = [
            f"{table['sciai'][n] / value:5.1f}x slower" if name != "sciai" else "" for n, value in row.items()
        ]
        cells = [
            f"{n:>5} atoms {value:8.0f} {text}" for (n, value), text in zip(row.items(), against, strict=True)
        ]
        print(f"{name:10}", "   ".join(cells))


if __name__ == "__main__":
    main()
