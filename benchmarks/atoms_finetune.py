"""Does fine-tuning learn the user's structures, and does replay keep the rest?

    OMP_NUM_THREADS=1 python -m benchmarks.atoms_finetune --mine mine.extxyz --replay runs/dft runs/labels

The shipped potential is taught ``mine`` (`+experiment=atoms_finetune`) with and without replay. Mean absolute
force errors, meV/Å: on blocks of ``mine`` that were held out, at its own level; and on development structures
of the replay stores' real DFT, at the level that the shipped one answers at.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sciai.atoms.data.readers import records_from
from sciai.atoms.data.records import Record, is_dev
from sciai.atoms.data.store import Store
from sciai.atoms.model.interface import load_net
from sciai.atoms.model.network import Network
from sciai.atoms.train.data import Structures, collate, module
from sciai.atoms.train.figures import Tally
from sciai.core.checkpoint import Checkpoint
from sciai.core.run import compose, train


def force_error(net: Network, records: Sequence[Record], source: str, reach: Sequence[float]) -> float:
    """Mean absolute error of force components at a source's level, meV/Å."""
    data = Structures([replace(r, source=source) for r in records], net.sources, reach, 10**9)
    tally = Tally()
    for start in range(0, len(data), 8):
        batch = collate([data[k] for k in range(start, min(start + 8, len(data)))])
        answer = net.predict(batch.graph, stress=False)
        assert answer.forces is not None  # they are asked for
        tally.add(forces=(answer.forces - batch.forces).numpy(), label=batch.forces.abs().numpy())
    return tally.summary()["forces"]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mine", type=Path, required=True, help="labelled structures of one's own")
    parser.add_argument("--replay", nargs="+", required=True, help="stores with real DFT among them")
    parser.add_argument("--model", default="checkpoints/atoms")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument(
        "--rest", type=int, default=60, help="development structures to measure forgetting on"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    own = records_from(options.mine, "mine")
    reach = Checkpoint.load(options.model).card.config["domain"]["net"]["reach"]
    split = module(own, {"mine": 0}, reach, 8, {"train": 0.92, "val": 0.02, "calibrate": 0.06}, own=["mine"])
    held = [split.dataset.records[k] for k in split.split.parts["test"]]
    found = [r for r in Store(*options.replay) if r.source == "mptrj" and is_dev(r.group)]
    rest = sorted(found, key=len)[: options.rest]

    before = load_net(Checkpoint.load(options.model))
    assert isinstance(before, Network)  # of the shipped architecture
    table = {
        "before": {
            "mine": force_error(before, held, before.names[0], reach),
            "rest": force_error(before, rest, "mptrj", reach),
        }
    }
    for name, stores in (("with replay", options.replay), ("without replay", [])):
        with TemporaryDirectory() as folder:
            cfg = compose(
                "atoms",
                [
                    *("+experiment=atoms_finetune", f"mine={options.mine}", f"out={folder}/run"),
                    *(f"replay=[{','.join(stores)}]", f"domain.net.start={options.model}"),
                    *(f"domain.max_steps={options.steps}", "trainer.enable_progress_bar=false"),
                    *("domain.data.records.encounters=0", "~domain.evaluate", "~domain.calibrate"),
                ],
            )
            train(cfg)
            after = load_net(Checkpoint.load(f"{folder}/run/model"))
            assert isinstance(after, Network)
            table[name] = {
                "mine": force_error(after, held, "mine", reach),
                "rest": force_error(after, rest, "mptrj", reach),
            }
    if options.json:
        print(json.dumps({"held_out": len(held), "rest": len(rest), "forces_meV": table}))
        return
    print(f"force errors, meV/Å, on {len(held)} held-out structures of one's own and {len(rest)} of the rest")
    for name, row in table.items():
        print(f"{name:16s} mine {row['mine']:8.1f}   rest {row['rest']:8.1f}")


if __name__ == "__main__":
    main()
