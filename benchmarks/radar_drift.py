"""Features of the volumes that the radar codecs learned from, for `sciai drift radar`.

python -m benchmarks.radar_drift --write    # needs the shared volumes; writes data/radar/learned.json
python -m benchmarks.radar_drift            # false alarms and alarms of streams drawn from it
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np

from benchmarks.radar_volumes import shared_radar, volume_sets
from sciai.core.atomic import whole_file
from sciai.core.resources import data_dir
from sciai.radar.api.distance import FEATURES, learned, of_source
from sciai.radar.api.source import open_source
from sciai.trust.drift import Drift


def write() -> None:
    """One row for each volume, one after the other; what cannot be opened is said and left out."""
    rows, radars = [], []
    folder = shared_radar()
    if folder is None:
        raise SystemExit("the real volumes are not here")
    for entry in volume_sets(folder):
        try:
            row = of_source(open_source(list(entry.paths) if len(entry.paths) > 1 else entry.paths[0]))
        except Exception as error:  # one file in a new dialect must not cost the others
            print(f"{entry.key}: left out, {error}", file=sys.stderr)
            continue
        if row is not None:
            rows.append([round(float(x), 4) for x in row])
            radars.append(entry.radar)
            print(entry.key, rows[-1], file=sys.stderr, flush=True)
    content = {"features": FEATURES, "radars": radars, "rows": rows}
    with whole_file(data_dir() / "radar" / "learned.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(content, indent=None) + "\n")
    print(f"{len(rows)} volumes of {len(set(radars))} radars")


def measure(streams: int = 400, length: int = 40) -> None:
    """Alarms of streams like the held-out distances, and of streams twice as far."""
    known = learned().held_out
    rng = np.random.default_rng(0)
    for factor in (1.0, 1.5, 2.0, 3.0):
        alarms, when = 0, []
        for _ in range(streams):
            part = rng.permutation(known)
            drift = Drift(part[: len(part) // 2].tolist(), 0.01)
            drift.observe(factor * rng.choice(part[len(part) // 2 :], length))
            if drift.alarmed_at is not None:
                alarms, when = alarms + 1, [*when, drift.alarmed_at]
        middle = f"after {np.median(when):.0f} volumes" if when else ""
        print(
            f"distances x {factor}: alarm in {alarms / streams:.1%} of {streams} streams of {length} {middle}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    write() if parser.parse_args().write else measure()
