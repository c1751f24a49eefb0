"""The next volume of a known radar: bits against JPEG XL (effort 9), with the volume before at hand.

Pairs are consecutive volumes of one radar and one event. The first is compressed alone, the second with
``previous=`` its store, both by the shipped models; JPEG XL cannot use the volume before, and gets the
second alone.

    python -m benchmarks.radar_next_volume [--peers FILE.json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.radar_compare import OUT, PEERS, ours, peer_of, row, summary
from benchmarks.radar_volumes import next_volume_pairs, shared_radar, volume_sets


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, default=PEERS)
    parser.add_argument("--codec", default="auto")
    parser.add_argument(
        "--measure", action="store_true", help="measure a peer that is not in the cache (slow)"
    )
    given = parser.parse_args()
    folder = shared_radar()
    if folder is None:
        raise SystemExit("the real volumes (../shared/data/radar) are not here: set SCIAI_SHARED")
    rows = []
    for first, second in next_volume_pairs(volume_sets(folder)):
        peer = peer_of(second, given.peers, measure=given.measure)
        if peer is None:
            print(f"{second.key}: its peer is not in {given.peers} (python -m benchmarks.radar_peers)")
            continue
        with tempfile.TemporaryDirectory() as kept:
            before = Path(kept) / "first.zarr"
            ours(first, codec=given.codec, store=before)
            alone = ours(second, codec=given.codec)
            after = ours(second, codec=given.codec, previous=before)
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
