"""Open a store in a process of its own, with nothing but xarray, and say what came back.

    python -m sciai.studio.reread STORE

Prints JSON: seconds to decode every field, a sha256 of each, and which heavy packages that took. The demo
runs this to show that a store reads back in any process, bit for bit the same.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from typing import Any

HEAVY = ("torch", "pytorch_lightning", "compressai", "numba")


def reread(store: str) -> dict[str, Any]:
    """Decode every field and validity of a store.

    Args:
        store: path of a Zarr store.

    Returns:
        ``seconds``, ``fields`` (``sweep_0/DBZH`` -> sha256 of its bytes) and ``loaded`` (heavy packages).
    """
    import numpy as np
    import xarray as xr

    start = time.perf_counter()
    tree = xr.open_datatree(store, engine="zarr", chunks=None)
    fields: dict[str, str] = {}
    for name in tree.children:
        sweep = tree[name]
        for variable, array in sweep.data_vars.items():
            if array.ndim == 2 and "range" in array.dims:
                data = np.ascontiguousarray(array.values)
                fields[f"{name}/{variable}"] = hashlib.sha256(data.tobytes()).hexdigest()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "fields": fields, "loaded": [name for name in HEAVY if name in sys.modules]}


if __name__ == "__main__":
    print(json.dumps(reread(sys.argv[1])))
