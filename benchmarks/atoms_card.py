"""All evidence on one potential, by one command; with --write its figures go onto the card.

    OMP_NUM_THREADS=1 python -m benchmarks.atoms_card --data ../shared/data/atoms --cache runs/atoms --write

Runs the other scripts one after the other on a quiet machine (about ten minutes once the teachers' answers
are in the cache) and keeps what each printed in ``CACHE/evidence/HASH``: called again it does only what is
missing. Figures are named ``dev/<set>/<what>``, ``acwf/...``, ``laws/...``, ``spread/...``, ``nve/...``,
``scaling/...``, ``throughput/...``; --write leaves other figures of the card as they are. It changes the
checkpoint's hash and nothing that computes; sign it afterwards.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from sciai.core.checkpoint import Checkpoint

Figures = dict[str, float]


def accuracy(found: Any) -> Figures:
    """Errors on development systems; energies with the set's own zero where that is another one."""
    out: Figures = {}
    for name, rows in found.items():
        short = name.removesuffix("-1k")
        for who, row in rows.items():
            prefix = {"sciai": f"dev/{short}", "n": f"dev/{short}"}.get(who, f"dev/{short}/{who}")
            out |= {f"{prefix}/{key}": value for key, value in row.items()}
    return {name.replace("sciai, own zero", "own_zero"): value for name, value in out.items()}


def acwf(found: Any) -> Figures:
    """Equations of state of the elements."""
    (rows,) = found.values()
    parts = {"all": "", "unseen by ours": "unseen/", "seen by ours": "seen/"}
    names = ("volume_percent", "bulk_modulus_percent", "failed")
    return {f"acwf/{short}{name}": rows[part][name] for part, short in parts.items() for name in names}


def laws(found: Any) -> Figures:
    """How much each law is broken, and how many are beyond what is allowed."""
    out = {f"laws/{row['name'].replace(' ', '_').replace(',', '')}": row["found"] for row in found}
    return out | {"laws/broken": float(sum(not row["holds"] for row in found))}


def spread(found: Any) -> Figures:
    """Coverage, rank correlations, false alarms of all development structures."""
    row = found["spread"]["all"]
    out = {
        f"spread/{name}": row[name] for name in ("spearman_atoms", "spearman_structures", "false_alarms")
    } | {"spread/coverage": row["coverage"]["share"]}
    for family, figures in found["ood"].items():
        out[f"spread/auroc_prototypes_without/{family.replace(' ', '_')}"] = figures["auroc_support"]
    return out


def left_out(found: Any) -> Figures:
    """A small network trained without a family."""
    return {
        f"left_out/{family.replace(' ', '_')}/{name}": row[name]
        for family, row in found.items()
        for name in ("support", "all", "spread", "check")
    }


def nve(found: Any) -> Figures:
    """Drift of each material, and the worst."""
    each = {f"nve/{row['material']}": abs(row["drift_meV"]) for row in found["rows"]}
    return each | {"nve/worst": max(each.values())}


def scaling(found: Any) -> Figures:
    """Memory at 16,384 atoms, and time per atom there over that at 512."""
    by = {row["atoms"]: row for row in found}
    per_atom = {n: row["seconds"] / n for n, row in by.items()}
    return {
        "scaling/peak_mb_16384": by[16384]["peak_mb"],
        "scaling/peak_mb_8192": by[8192]["peak_mb"],
        "scaling/time_per_atom_against_512": per_atom[16384] / per_atom[512],
    }


def throughput(found: Any) -> Figures:
    """Atoms per CPU second, and as multiples of the teachers'."""
    out = {f"throughput/{who}/{n}": value for who, row in found.items() for n, value in row.items()}
    for peer in set(found) - {"sciai", "sciai-api"}:
        for n, value in found[peer].items():
            out[f"throughput/against_{peer}/{n}"] = found["sciai"][n] / value
    return out


def jobs(options: argparse.Namespace) -> Mapping[str, tuple[list[str], Callable[[Any], Figures]]]:
    """Script -> its arguments, and what makes figures of its JSON."""
    data, cache, model = str(options.data), str(options.cache), str(options.checkpoint)
    table = str(options.data / "acwf-unaries-PBE-AE-average.json")
    # MatterSim does not come with the extra "teachers"
    more = options.peers and find_spec("mattersim") is not None
    peers = ["--peers", "chgnet", "sevennet", *["mattersim"] * more] if options.peers else []
    judges = ["--teachers", "chgnet", "7net-0", *["mattersim-1m"] * more] if options.peers else []
    out: dict[str, tuple[list[str], Callable[[Any], Figures]]] = {
        "throughput": (["--checkpoint", model, "--api", *peers], throughput),
        "scaling": (["--checkpoint", model], scaling),
        "accuracy": (
            ["--data", data, "--checkpoint", model, "--cache", f"{cache}/judges", *judges],
            accuracy,
        ),
        "acwf": ([table, "--model", model], acwf),
        "laws": (["--model", model], laws),
        "uncertainty": (["--data", data, "--cache", f"{cache}/judges", "--model", model], spread),
        "nve": (["--model", model], nve),
    }
    if options.stores:
        out["left_out"] = (["--stores", *options.stores, "--family", "halogens", "rare earths"], left_out)
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the extxyz sets and the ACWF table"
    )
    parser.add_argument("--cache", type=Path, required=True, help="folder for what is kept between calls")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/atoms"))
    parser.add_argument(
        "--no-peers", dest="peers", action="store_false", help="without CHGNet and SevenNet-0"
    )
    parser.add_argument(
        "--stores", nargs="*", default=[], help="also train without a family on these (12 min)"
    )
    parser.add_argument("--only", nargs="*", default=[], help="scripts to run, of those above")
    parser.add_argument("--write", action="store_true", help="put the figures onto the card")
    options = parser.parse_args()
    if unknown := set(options.only) - set(jobs(options)):
        parser.error(f"no script is called {', '.join(sorted(unknown))}; one of {', '.join(jobs(options))}")
    saved = Checkpoint.load(options.checkpoint)
    weights = weights_of(options.checkpoint)
    kept = options.cache / "evidence" / weights
    kept.mkdir(parents=True, exist_ok=True)
    figures: Figures = {}
    failed = []
    for name, (arguments, read) in jobs(options).items():
        if options.only and name not in options.only:
            continue
        file = kept / f"{name}.json"
        start = time.perf_counter()
        if not file.is_file():
            command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.atoms_{name}", *arguments, "--json"]
            done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
            if done.returncode:
                failed.append(name)
                print(f"{name} failed:\n{done.stderr[-2000:]}", flush=True)
                continue
            file.write_text(done.stdout.strip().splitlines()[-1])
        figures |= read(json.loads(file.read_text()))
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    print(yaml.safe_dump({name: round(value, 6) for name, value in sorted(figures.items())}))
    if options.write and figures:
        own = tuple(name.partition("/")[0] + "/" for name in figures)
        rest = {k: v for k, v in saved.card.metrics.items() if not k.startswith(own) or k in figures}
        card = replace(saved.card, metrics={**rest, **figures})
        print("written:", Checkpoint(saved.arrays, card).save(options.checkpoint, overwrite=True).hash)
    sys.exit(1 if failed else 0)


def weights_of(folder: Path) -> str:
    """Short hash of the weights alone, which writing figures onto the card does not change.

    Args:
        folder: of a checkpoint.
    """
    listed = json.loads((folder / "MANIFEST.json").read_text())["files"]
    return str(next(file["sha256"] for name, file in listed.items() if name.endswith(".safetensors")))[:16]


if __name__ == "__main__":
    main()
