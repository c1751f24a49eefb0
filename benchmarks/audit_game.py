"""The auditing game: how many planted defects are found, how many honest models are accused.

    python -m benchmarks.audit_game --models 6

Thresholds are learned from honest models of seeds that are not used again. Then models of unseen seeds are
examined: honest ones for the false-alarm rate, and some of each family of defects, half of which (marked *)
no tool was tuned on. Intervals are Wilson's at 95 %.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from benchmarks.audit_models import TASKS, UNSEEN, families, make
from sciai.trust.audit import Auditor
from sciai.trust.score import wilson


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--domains", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument(
        "--honest", type=int, default=24, help="honest models per domain, to tune and to score"
    )
    parser.add_argument("--models", type=int, default=6, help="models per family and domain")
    parser.add_argument("--alarms", type=float, default=0.03, help="false alarms that thresholds aim at")
    parser.add_argument("--seed", type=int, default=10_000, help="first seed of the scored models")
    parser.add_argument("--out", type=Path, help="JSON of every verdict")
    args = parser.parse_args()
    torch.set_num_threads(1)
    started, rows = time.monotonic(), []
    auditors: dict[str, Auditor] = {}
    for domain in args.domains:
        honest = [Auditor({}).examine(make(domain, None, seed)) for seed in range(args.honest)]
        auditors[domain] = Auditor.fit(honest, args.alarms)
    for domain in args.domains:
        for family in (None, *families(domain)):
            for number in range(args.honest if family is None else args.models):
                seed = args.seed + number
                report = auditors[domain].judge(auditors[domain].examine(make(domain, family, seed)))
                tool = max(report.excess, key=report.excess.__getitem__)
                what = next(item.what for item in report.evidence if item.tool == tool)
                rows.append(
                    {
                        "domain": domain,
                        "family": family or "none",
                        "seed": seed,
                        "accused": report.accused,
                        "suspicion": round(report.suspicion, 3),
                        "by": tool,
                        "what": what,
                    }
                )
    table(rows)
    print(f"\n{len(rows)} models examined in {time.monotonic() - started:.0f} s")
    if args.out:
        args.out.write_text(
            json.dumps({"verdicts": rows, "auditors": {d: a.to_dict() for d, a in auditors.items()}})
        )


def table(rows: list[dict[str, object]]) -> None:
    """Print detection by family and domain, false alarms, and what was missed."""

    def line(name: str, chosen: list[dict[str, object]]) -> None:
        hits = sum(bool(row["accused"]) for row in chosen)
        low, high = wilson(hits, len(chosen))
        print(
            f"{name:28s} {hits:4d} of {len(chosen):4d}   {hits / len(chosen):6.1%}   {low:.1%} to {high:.1%}"
        )

    honest = [row for row in rows if row["family"] == "none"]
    planted = [row for row in rows if row["family"] != "none"]
    line("honest models accused", honest)
    line("planted defects found", planted)
    line("  of unseen families *", [row for row in planted if row["family"] in UNSEEN])
    print()
    for family in dict.fromkeys(str(row["family"]) for row in planted):
        star = " *" if family in UNSEEN else ""
        line(f"{family}{star}", [row for row in planted if row["family"] == family])
    for domain in dict.fromkeys(str(row["domain"]) for row in rows):
        line(f"{domain}", [row for row in planted if row["domain"] == domain])
    print("\nmissed, and honest models accused:")
    for row in rows:
        if row["accused"] == (row["family"] == "none"):
            who = f"{row['domain']}, {row['family']}, seed {row['seed']}"
            print(f"  {who}: {row['suspicion']} ({row['by']}: {row['what']})")


if __name__ == "__main__":
    main()
