"""How many bytes of a store are what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sciai.radar.api.common import QUANTISERS, quantiser_bytes
from sciai.radar.api.planes import MODEL_DIR, array_of, file_fetcher
from sciai.radar.data.heritage import RECORD

__all__ = ["bytes_of", "parts_of", "sizes_of", "weights_of"]


def sizes_of(path: Path) -> dict[str, int]:
    """Key of each file of a store -> its bytes."""
    return {p.relative_to(path).as_posix(): p.stat().st_size for p in path.rglob("*") if p.is_file()}


def weights_of(path: Path, sizes: Mapping[str, int]) -> dict[str, int]:
    """Key of each file -> its bytes; a variable's part of ``quantisers.json`` counts as one more chunk."""
    weights = dict(sizes)
    for var, size in quantiser_bytes(file_fetcher(path)).items():
        weights[f"sweep_/{var}/quantiser"] = size
        weights[QUANTISERS] -= size
    return weights


def bytes_of(sizes: Mapping[str, int], variable: str) -> tuple[int, int]:
    """Bytes of a variable's values and of its masks, over all sweeps.

    Args:
        sizes: Of the files, by key, as ``weights_of`` gives them.
        variable: Its name.
    """
    values, masks = (
        sum(
            size for key, size in sizes.items() if key.startswith("sweep_") and key.split("/")[1:2] == [array]
        )
        for array in (variable, array_of(variable, "mask"))
    )
    return values, masks


def parts_of(sizes: Mapping[str, int], variables: Iterable[str]) -> dict[str, int]:
    """Bytes of fields, metadata, coordinates and models.

    Args:
        sizes: Of the files, by key.
        variables: Names of the coded ones.
    """
    coded = {a for v in variables for a in (v, array_of(v, "mask"))}
    parts = {"fields": 0, "metadata": 0, "coordinates": 0, "models": 0}
    for key, size in sizes.items():
        names = key.split("/")
        if key in ("zarr.json", RECORD, QUANTISERS):
            parts["metadata"] += size
        elif names[0] == MODEL_DIR:
            parts["models"] += size
        elif names[0].startswith("sweep_") and len(names) > 2 and names[1] in coded:
            parts["fields"] += size
        else:
            parts["coordinates"] += size
    return parts
