"""Converts the real DFT of the shared folder into a store: one source name per level of theory.

    python benchmarks/atoms_dft_store.py ../shared/data/atoms runs/dft

Prints what was kept, what was cut and by which rule. Units are checked as every record's are.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from sciai.atoms.data.readers import records_from
from sciai.atoms.data.records import Record, is_dev
from sciai.atoms.data.store import Store, StoreWriter

# file -> source. MPtrj is one level of theory however the frames were drawn; where the functional is not
# stated the set is a source of its own.
FILES = {
    "mptrj-random-1k.extxyz": "mptrj",
    "mptrj-highest-stress-1k.extxyz": "mptrj",
    "alexandria-random-1k.extxyz": "alexandria",
    "mpf-TP.extxyz": "mattersim",
    "random-TP.extxyz": "mattersim",
    "molecules/rmd17.extxyz.gz": "pbe-svp",
    "molecules/acac.extxyz.gz": "pbe-svp",
    "molecules/ethanol_methanol.extxyz.gz": "pbe-svp",
    "molecules/s66x8.extxyz.gz": "wb97x",
    "molecules/spice_sample.extxyz.gz": "wb97m-d3",
    "molecules/water_dimer_mp2.extxyz.gz": "mp2",
    "molecules/co2_ni100.extxyz.gz": "co2-ni100",
    "molecules/singleatom_oer.extxyz.gz": "oer-slabs",
    "molecules/oc20_style_samples.extxyz.gz": "rpbe",
    "molecules/ch3_cu_beef.extxyz.gz": "beef-vdw",
    "molecules/ec_emc_electrolyte.extxyz.gz": "electrolyte",
}


# looked at twice: among the frames with the highest stresses of MPtrj are failed calculations
SUSPECT = ("mptrj-highest-stress-1k.extxyz",)
MOST_TENSION, MOST_OFF = 35.0, 60.0  # GPa
GPA = 160.21766208


def pressure(record: Record) -> float:
    """GPa; positive when compressed."""
    return -float(np.trace(record.stress)) / 3 * GPA if record.stress is not None else 0.0


def unphysical(record: Record, second: Record | None) -> str | None:
    """Why a frame is cut, or None.

    No crystal stands more than some 35 GPa of tension on all sides; and where the pressure that a potential
    trained on MPtrj sees is off by more than 60 GPa, it is the frame that stands alone. Most hold Gd,
    Eu or 5f elements at normal density, with energies off by 0.7 eV/atom in the median: a magnetic state that
    was not the ground state.
    """
    if pressure(record) < -MOST_TENSION:
        return f"more than {MOST_TENSION:g} GPa of tension"
    if second is not None and abs(pressure(record) - pressure(second)) > MOST_OFF:
        return f"pressure more than {MOST_OFF:g} GPa off 7net-0's"
    return None


def second_opinion(records: list[Record], folder: Path) -> list[Record]:
    """Labels of SevenNet-0 for the same frames, kept in a store of their own."""
    from sciai.atoms.data.teachers import teacher

    judge = teacher("7net-0")

    with StoreWriter(folder, shard=200) as out:
        for number in range(out.cursor, len(records)):
            bare = records[number].with_labels(None, None, None, judge.source)
            out.add([judge.label([bare])[0] or bare], number + 1)
    return list(Store(folder))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path, help="folder of the files")
    parser.add_argument("store", type=Path, help="store to write; the second opinions go beside it")
    options = parser.parse_args()
    records: list[Record] = []
    for name, source in FILES.items():
        refused: list[str] = []
        kind = name.split("/")[-1].split(".")[0]
        found = records_from(
            options.shared / name, source, kind=kind, skip=lambda e, to=refused: to.append(e.problem)
        )
        second: list[Record | None] = [None] * len(found)
        if name in SUSPECT:
            second = list(second_opinion(found, options.store.parent / f"{options.store.name}-{kind}-7net-0"))
        reasons = [unphysical(a, b) if name in SUSPECT else None for a, b in zip(found, second, strict=True)]
        kept = [record for record, reason in zip(found, reasons, strict=True) if reason is None]
        records += kept
        cut = Counter(reason for reason in reasons if reason) + Counter(refused)
        dev = sum(is_dev(record.group) for record in kept)
        print(
            f"{kind:24s} {source:12s} {len(kept):6d} frames, {dev:5d} dev; cut: {dict(cut) or 'none'}",
            flush=True,
        )
    store = Store.write(options.store, records, shard=5000, note="shared real DFT")
    print(f"{len(store)} records in {options.store}")


if __name__ == "__main__":
    main()
