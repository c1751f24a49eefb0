"""How long one question takes on one core, and how many virtual humans two cores make in a second.

Shared machines are loaded, so beside seconds the processor time is printed (what it would take alone), and a
peer measured in turns with ours: for questions 93 LightGBM models of 200 trees (one for each column; they
answer yes/no or a mean, we a distribution), for samples numpy drawing as many rows of a correlated normal.

    python -m benchmarks.health_speed --model health [--repeats 30] [--people 20000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.health_data import add_models, describe, keep, one_thread, open_model, people
from sciai.core.resources import checkpoints_dir


def clocked(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median seconds by the clock and by the processor."""
    wall, cpu = [], []
    for _ in range(repeats):
        a, b = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - a)
        cpu.append(time.process_time() - b)
    return float(np.median(wall)), float(np.median(cpu))


def boosters(values: np.ndarray, count: int) -> Callable[[], Any]:
    """That many LightGBM models, asked for one person."""
    import lightgbm as lgb

    rng, models = np.random.default_rng(0), []
    x = values[:2000]
    for _ in range(count):
        y = rng.random(len(x))
        options = {"objective": "l2", "num_leaves": 15, "verbose": -1, "num_threads": 1}
        models.append(lgb.train(options, lgb.Dataset(x, y), 200))
    row = x[:1]
    return lambda: [m.predict(row, num_threads=1) for m in models]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_models(parser)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--people", type=int, default=20_000)
    given = parser.parse_args()
    import torch

    from sciai.health import VirtualHuman

    found = people()
    one = found.of("test")[:1]
    one_thread()
    peer = boosters(found.of("test"), 93)
    peer()
    asked = [c.name for c in found.schema.columns if c.group == "diagnosis"]
    for model in given.model:
        folder = Path(model) if Path(model).is_dir() else checkpoints_dir() / model
        _, joint, _ = open_model(model)
        human = VirtualHuman.load(path=str(folder))
        person = human.given(age=64, sex="male", hba1c=5.5, sbp=140, creatinine=1.1, rx_bp=1)
        blank = np.where(np.isin(found.schema.names, asked), np.nan, one)
        work: dict[str, Callable[[], Any]] = {
            "me.ask('dx_diabetes', 'egfr')": lambda p=person: p.ask("dx_diabetes", "egfr"),
            "me.ask(one diagnosis)": lambda p=person: p.ask("dx_stroke"),
            "the model alone, 19 diagnoses": lambda j=joint, b=blank: j.predictive(b, asked),
            "me.risks()": lambda p=person: p.risks(),
            "93 LightGBM models": peer,
        }
        print(f"\n{describe(model)}, one core (medians of {given.repeats})")
        told = {}
        for name, call in work.items():
            call()
            told[name] = clocked(call, given.repeats if "risks" not in name else max(3, given.repeats // 6))
        reference = told["93 LightGBM models"][1]
        for name, (wall, cpu) in told.items():
            print(f"  {name:32s}{1e3 * wall:8.1f} ms, processor {1e3 * cpu:7.1f} ms, x {cpu / reference:.2f}")
        torch.set_num_threads(2)
        d = len(found.schema)
        root = np.linalg.cholesky(0.5 * np.eye(d) + 0.5)

        def virtual(j: Any = joint, d: int = d) -> None:
            j.sample(np.full((given.people, d), np.nan), np.random.default_rng(0))

        def normal(root: np.ndarray = root, d: int = d) -> np.ndarray:
            return np.random.default_rng(0).standard_normal((given.people, d)) @ root.T

        kept = {
            "speed/question_processor_ms": 1e3 * told["me.ask(one diagnosis)"][1],
            "speed/risks_processor_ms": 1e3 * told["me.risks()"][1],
        }
        sample = {"virtual humans": virtual, "numpy, correlated normal": normal}
        print(f"  {given.people} virtual humans, two threads")
        for name, call in sample.items():
            wall, cpu = clocked(call, 3)
            if "virtual" in name:
                kept["speed/virtual_humans_per_s_two_cores"] = 2 * given.people / max(cpu, 1e-9)
            print(
                f"  {name:32s}{given.people / wall:9.0f} per s; {2 * given.people / max(cpu, 1e-9):9.0f} "
                f"per s if both cores were ours alone ({cpu:.1f} processor seconds)"
            )
        keep("speed", model, kept)
        one_thread()


if __name__ == "__main__":
    main()
