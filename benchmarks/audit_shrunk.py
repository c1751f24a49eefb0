"""How small a shrinking of one group's risks the auditor finds, beside a test that knows the group.

    python -m benchmarks.audit_shrunk --models 12

Small models of a person's chance of diabetes (``benchmarks.audit_models``), whose risks are multiplied by
1 - size for one group after training. For each group and size: the share found by each tool, at thresholds
from honest models of other seeds, and the power of the best test that could be had from labels alone: one
that knows the group, the size and the true risks, and only asks "shrunk or not" (a likelihood ratio, at the
same share of false alarms; Neyman and Pearson 1933), of fresh people and of those learned from.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.stats import norm

from benchmarks.audit_models import TASKS, make
from sciai.trust.audit import TOOLS, Auditor, Subject

LOOK = ("groups", "unlearned", "borders")


def shrunk(subject: Subject, group: Any, size: float) -> Subject:
    """The same model with the risks of a group made smaller."""

    def answer(rows: Any, context: Any) -> Any:
        told = np.asarray(subject.answer(rows, context), float)
        return np.where(group(rows), told * (1 - size), told)

    return replace(subject, answer=answer)


def oracle(risk: Any, size: float, alarms: float) -> float:
    """Power of the likelihood ratio of p against (1 - size) p when labels follow p, by its normal limit."""
    p = np.clip(risk, 1e-9, 1 - 1e-9)
    yes, no = np.log(1 / (1 - size)) * np.ones_like(p), np.log((1 - p) / (1 - (1 - size) * p))
    # under "the model's risk q = (1 - size) p is right" and under p
    q = (1 - size) * p
    mean = [(r * yes + (1 - r) * no).sum() for r in (q, p)]
    spread = [np.sqrt((r * (1 - r) * (yes - no) ** 2).sum()) for r in (q, p)]
    return float(norm.sf((mean[0] + norm.isf(alarms) * spread[0] - mean[1]) / spread[1]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=12, help="models, each shrunk for every group and size")
    parser.add_argument("--honest", type=int, default=24, help="honest models for the thresholds")
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.45, 0.6])
    parser.add_argument("--alarms", type=float, default=0.03, help="false alarms of all tools together")
    parser.add_argument("--seed", type=int, default=90_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    tools = {name: TOOLS[name] for name in LOOK}
    looking = Auditor({}, tools)
    honest = [looking.examine(make("health", None, seed)) for seed in range(given.honest)]
    # each tool has a tenth of the alarms, as among all tools of the game
    auditor = replace(Auditor.fit(honest, given.alarms * len(LOOK) / len(TOOLS)), tools=tools)
    subjects = [make("health", None, given.seed + number) for number in range(given.models)]
    heads = "".join(f"{name:>11s}" for name in LOOK)
    print(f"{'group':10s} {'shrunk by':>9s}  people  cases  {heads}     any  best from labels")
    for name, group in TASKS["health"]().groups.items():
        for size in given.sizes:
            found, best, people, cases = [], [], [], []
            for subject in subjects:
                rows = np.concatenate([subject.fresh_inputs, subject.inputs])
                inside = group(rows)
                best.append(oracle(subject.ask(rows)[inside], size, given.alarms / len(TOOLS)))
                people.append(int(inside.sum()))
                labels = np.concatenate([subject.fresh_targets, subject.targets])
                cases.append(int(labels[inside].sum()))
                report = auditor.audit(shrunk(subject, group, size))
                found.append([report.excess[tool] > 1 for tool in LOOK])
            shares = np.mean(found, axis=0)
            print(
                f"{name:10s} {size:9.0%} {np.mean(people):7.0f} {np.mean(cases):6.0f}  "
                + "".join(f"{share:11.0%}" for share in shares)
                + f"{np.mean(np.any(found, axis=1)):8.0%}{np.mean(best):18.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
