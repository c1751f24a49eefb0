"""The next volume of a known radar: bits against JPEG XL (effort 9), with the volume before at hand.

Pairs are consecutive volumes of one radar and one event. The first is compressed alone, the second with
``previous=`` its store; JPEG XL cannot use the volume before, and gets the second alone. ``--model`` names
a checkpoint of the context codec that knows the radar but not the second volume (its card lists what it has
learned from); volumes that it has learned from are left out. Without it the shipped model is used, which has
seen them all: that is *not* a fair test, and the output says so.

    python -m benchmarks.radar_next_volume [--model FOLDER] [--peers FILE.json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.radar_compare import OUT, PEERS, ours, peer_of, row, summary
from benchmarks.radar_volumes import next_volume_pairs, shared_radar, volume_sets
from sciai.core.checkpoint import Checkpoint
from sciai.radar.model.context import ContextCodec


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, default=PEERS)
    parser.add_argument("--codec", default="auto")
    parser.add_argument("--model", type=Path)
    parser.add_argument(
        "--measure", action="store_true", help="measure a peer that is not in the cache (slow)"
    )
    given = parser.parse_args()
    folder = shared_radar()
    if folder is None:
        raise SystemExit("the real volumes (../shared/data/radar) are not here: set SCIAI_SHARED")
    codec: Any = given.codec
    learned: set[str] = set()
    if given.model:
        saved = Checkpoint.load(given.model)
        codec = ContextCodec.from_checkpoint(saved)
        learned = set(saved.card.data.get("volumes", {}))
    else:
        print("NOT A FAIR TEST: no --model given, so the shipped model is used, which has seen these volumes")
    rows = []
    for first, second in next_volume_pairs(volume_sets(folder)):
        if second.key in learned:
            continue
        peer = peer_of(second, given.peers, measure=given.measure)
        if peer is None:
            print(f"{second.key}: its peer is not in {given.peers} (python -m benchmarks.radar_peers)")
            continue
        with tempfile.TemporaryDirectory() as kept:
            before = Path(kept) / "first.zarr"
            ours(first, codec=codec, store=before)
            alone = ours(second, codec=codec)
            after = ours(second, codec=codec, previous=before)
        rows.append(row(second, after, peer) | {"ours_alone": alone["total"]})
        print(
            f"{second.key}: {100 * rows[-1]['saved']:.1f} % fewer bits, {alone['total']:.3f} alone",
            flush=True,
        )
    print(summary(rows))
    OUT.mkdir(exist_ok=True)
    (OUT / "radar_next_volume.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
