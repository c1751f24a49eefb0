"""Leave one radar out: each volume coded by a model that never saw its radar, against JPEG XL (effort 9).

Every fold is a checkpoint that was trained without one radar (or several); its card lists the held-out groups
under ``split.parts.test.names``, and only volumes of those radars are coded with it. A volume that no fold
has left out is named and not counted. Without ``--folds`` the shipped models are used: that is *not* a fair
test, and the output says so. ``--codec quick`` is what ``effort="fast"`` writes; it has learned nothing and
needs no folds.

    python -m benchmarks.radar_unseen --folds FOLDER [--codec context] [--peers FILE.json] [KEY ...]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.radar_compare import OUT, PEERS, ours, peer_of, row, summary
from benchmarks.radar_volumes import shared_radar, volume_sets


def folds(folder: Path, codec: str) -> list[tuple[set[str], Any]]:
    """(held-out groups, codec) of every checkpoint under a folder."""
    from sciai.core.checkpoint import Checkpoint
    from sciai.radar.model import registry

    found = []
    for manifest in sorted(folder.rglob("MANIFEST.json")):
        saved = Checkpoint.load(manifest.parent)
        names = {str(n) for n in saved.card.split.get("parts", {}).get("test", {}).get("names", ())}
        cls: Any = registry._class(codec)
        found.append((names, cls.from_checkpoint(saved)))
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folds", type=Path)
    parser.add_argument("--codec", default="context", choices=("context", "transform", "quick"))
    parser.add_argument("--peers", type=Path, default=PEERS)
    parser.add_argument(
        "--measure", action="store_true", help="measure a peer that is not in the cache (slow)"
    )
    parser.add_argument("keys", nargs="*")
    given = parser.parse_args()
    folder = shared_radar()
    if folder is None:
        raise SystemExit("the real volumes (../shared/data/radar) are not here: set SCIAI_SHARED")
    available = folds(given.folds, given.codec) if given.folds else []
    if not given.folds and given.codec != "quick":
        print("NOT A FAIR TEST: no --folds given, so the shipped model is used, which has seen these radars")
    rows = []
    for volume in volume_sets(folder):
        if given.keys and volume.key not in given.keys:
            continue
        codec: Any = "quick" if given.codec == "quick" else "auto"
        if given.folds:
            codec = next((c for names, c in available if {volume.radar, volume.group} & names), None)
            if codec is None:
                print(f"{volume.key}: no fold left {volume.radar} out")
                continue
        peer = peer_of(volume, given.peers, measure=given.measure)
        if peer is None:
            print(f"{volume.key}: its peer is not in {given.peers} (python -m benchmarks.radar_peers)")
            continue
        rows.append(row(volume, ours(volume, codec=codec), peer))
        print(f"{volume.key}: {100 * rows[-1]['saved']:.1f} % fewer bits", flush=True)
    print(summary(rows))
    OUT.mkdir(exist_ok=True)
    (OUT / f"radar_unseen_{given.codec}.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
