"""Networks beside each other: same labels, CPU time and optimiser; errors on development systems.

    OMP_NUM_THREADS=1 python -m benchmarks.atoms_architectures --stores runs/dft --minutes 4

Each network trains for so many minutes of CPU time (not wall time: the machine may be shared) on the real DFT
of the store, on one thread, with the rate falling to zero as the time is used up.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from typing import Any

NETS: dict[str, dict[str, Any]] = {
    "vectors (PaiNN-like)": {"lmax": 1, "carried": 1, "triples": []},
    "scalars, l <= 3, triples": {"lmax": 3, "carried": 0, "triples": [[1, 1, 2], [2, 2, 2], [1, 2, 3]]},
    "tensors, l <= 2, triples": {"lmax": 2, "carried": 2, "triples": [[1, 1, 2], [2, 2, 2]]},
}
SOURCES = {"mptrj": 0, "alexandria": 0, "mattersim": 0}


def one(name: str, stores: list[str], minutes: float, channels: int, seed: int) -> dict[str, Any]:
    """Train one network and measure it."""
    import torch

    from sciai.atoms.data.graph import graphs_of
    from sciai.atoms.train.data import load, module
    from sciai.atoms.train.figures import Evaluate
    from sciai.atoms.train.loss import Loss
    from sciai.atoms.train.setup import network
    from sciai.core.run import compose

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    config = compose("atoms").domain
    reach = list(config.net.reach)
    net = network(**NETS[name], channels=channels, sources=SOURCES, reach=reach)
    limits = {key: list(value) for key, value in config.data.limits.items()}
    data = module(load(stores), SOURCES, reach, 16, dict(config.data.fractions), seed, limits=limits)
    loss, average = Loss(5.0, 1.0, 5.0), copy.deepcopy(net).requires_grad_(False)
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-3)
    stream, budget, step = iter(data.train_dataloader()), 60 * minutes, 0
    loss(net, next(stream))["loss"].backward()  # compiles; does not count
    start = time.process_time()
    while (spent := time.process_time() - start) < budget:
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * spent / budget))
        optimizer.zero_grad()
        loss(net, next(stream))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        step += 1
        decay = min(0.998, (1 + step) / (10 + step))
        for mean, now in zip(average.parameters(), net.parameters(), strict=True):
            mean.data.lerp_(now.data, 1 - decay)
    average.offsets.copy_(net.offsets)
    figures = dict(Evaluate()(average, data))
    from benchmarks.atoms_throughput import rate, salt

    speed = rate(lambda atoms: average.predict(graphs_of([atoms], average.cutoff)), salt(4), 1.0)
    wanted = (
        "mattersim/force_relative",
        "mattersim/energy",
        "mptrj/forces",
        "mptrj/energy",
        "alexandria/energy",
    )
    return {
        "weights": sum(p.numel() for p in net.parameters()),
        "steps": step,
        "atoms_per_cpu_second": speed,
        **{key: figures[f"test/{key}"] for key in wanted},
    }


def main() -> None:
    """Print one line per network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stores", nargs="+", required=True, help="stores of real DFT")
    parser.add_argument("--minutes", type=float, default=4.0, help="CPU minutes for each network")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(NETS), default=list(NETS))
    options = parser.parse_args()
    for name in options.only:
        row = one(name, options.stores, options.minutes, options.channels, options.seed)
        print(json.dumps({"network": name, **row}), flush=True)


if __name__ == "__main__":
    main()
