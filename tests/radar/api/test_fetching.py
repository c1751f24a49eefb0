"""Reading one plane fetches its own chunks and those that it was coded with, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import xarray as xr
import zarr

from sciai.core.errors import DamagedStore
from sciai.radar import compress
from sciai.radar.api.planes import CHUNK, PlaneReader, array_of, forget_planes
from sciai.radar.model.context import ContextCodec, twin_of
from sciai.radar.model.interface import Kind
from tests.radar.synthetic import smooth, volume

KINDS: Final[tuple[Kind, Kind]] = ("mask", "values")


class Counting(zarr.storage.WrapperStore[Any]):
    """Remembers which keys were fetched."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.keys: list[str] = []

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        self.keys.append(key)
        return await self._store.get(key, *args, **kwargs)


def test_one_plane_fetches_its_chunks_only(tmp_path: Path, neighbour_codec: Any) -> None:
    compress(volume(5, ((20, 30),) * 4), tmp_path / "a.zarr", codec="context", embed_model=True)
    store = Counting(zarr.storage.LocalStore(tmp_path / "a.zarr", read_only=True))
    group = zarr.open_group(store, mode="r")
    array = group["sweep_1/ZDR"]
    store.keys.clear()
    assert np.isfinite(array[:]).any()
    chunks = [k for k in store.keys if k.startswith("sweep_")]
    assert len(chunks) == len(set(chunks)), "a key is fetched once"
    # ZDR looks at VRADH, that at DBZH, all at their masks and at the same planes of sweep_0; nothing above
    assert set(chunks) == {
        f"sweep_{s}/{array_of(v, kind)}/{CHUNK}"
        for s in (0, 1)
        for v in ("DBZH", "VRADH", "ZDR")
        for kind in KINDS
    }
    others = [k for k in store.keys if not k.startswith("sweep_")]
    assert sorted(k.split("/")[0] for k in others) == ["model", "quantisers.json", "record.json", "zarr.json"]
    store.keys.clear()
    assert (group["sweep_1/DBZH_validity"][:] < 3).all()
    # the record tells this store from one that was here before
    assert set(store.keys) == {"record.json", f"sweep_1/DBZH_validity/{CHUNK}"}


def test_plain_plane_fetches_mask_and_values(tmp_path: Path) -> None:
    compress(volume(6), tmp_path / "a.zarr", codec="plain")
    store = Counting(zarr.storage.LocalStore(tmp_path / "a.zarr", read_only=True))
    array = zarr.open_group(store, mode="r")["sweep_0/DBZH"]
    store.keys.clear()
    array[:]
    chunks = [k for k in store.keys if k.startswith("sweep_")]
    assert sorted(chunks) == ["sweep_0/DBZH/0.0", "sweep_0/DBZH_validity/0.0"]


VARIABLES: Final = ("DBZH", "TH", "ZDR", "RHOHV", "VRADH", "WRADH")


def families() -> xr.DataTree:
    """Two sweeps. TH has DBZH's mask, WRADH has VRADH's; ZDR and RHOHV are valid everywhere.

    So each of the later masks is wholly told by one other, or by none, and needs none of the rest.
    """
    rng = np.random.default_rng(5)
    nodes = {}
    for number in range(2):
        one, two = (np.digitize(smooth(rng, 48, 64, 0.02), [0.1, 0.5]).astype(np.uint8) for _ in range(2))
        data = {}
        for name, flags in zip(VARIABLES, (one, one, 0 * one, 0 * one, two, two), strict=True):
            values = (3 * smooth(rng, 48, 64)).astype(np.float32)
            data[name] = (("azimuth", "range"), np.where(flags == 0, values, np.float32(np.nan)))
            data[f"{name}_validity"] = (("azimuth", "range"), flags)
        nodes[f"/sweep_{number}"] = xr.Dataset(data)
    return xr.DataTree.from_dict(nodes)


def directly(store: Path, sweep: int, var: str, kind: Kind) -> set[tuple[str, Kind]]:
    """What a chunk of the context codec says that it was coded with."""
    if kind == "values":
        twin = twin_of(var, VARIABLES)
        return {(var, "mask"), *(((twin, k) for k in KINDS) if twin else ())}
    head = PlaneReader.of_folder(store).chunk(sweep, var, kind).payload[0]
    before = VARIABLES[: VARIABLES.index(var)]  # they stand in the codec's order
    return {(before[k], "mask") for k in (head >> 4, head & 15) if k != 15}


def wholly(store: Path, sweep: int, var: str, kind: Kind) -> set[str]:
    """Chunks that reading a plane needs: its own, those that it was coded with, what they need."""
    found: set[tuple[str, Kind]] = set()
    left: list[tuple[str, Kind]] = [(var, kind)]
    while left:
        plane = left.pop()
        if plane not in found:
            found.add(plane)
            left += directly(store, sweep, *plane)
    return {f"sweep_{sweep}/{array_of(v, k)}/{CHUNK}" for v, k in found}


def test_masks_are_fetched_where_a_chunk_names_them(tmp_path: Path) -> None:
    codec = ContextCodec.shipped()
    compress(families(), tmp_path / "a.zarr", codec=codec, threads=1).unwrap()
    assert codec.order(VARIABLES) == list(VARIABLES)
    assert {v for v, k, w in codec.depends("WRADH", "mask", VARIABLES) if w == "here"} == set(VARIABLES[:-1])
    # of the masks that it may look at, a chunk names those that say most, at most two
    says = {v: {o for o, _ in directly(tmp_path / "a.zarr", 1, v, "mask")} for v in VARIABLES}
    assert says.pop("VRADH") <= {"DBZH", "TH"}  # of the like of it there is none yet
    none: set[str] = set()
    assert says == {"DBZH": none, "TH": {"DBZH"}, "ZDR": none, "RHOHV": none, "WRADH": {"VRADH"}}
    counting = Counting(zarr.storage.LocalStore(tmp_path / "a.zarr", read_only=True))
    group = zarr.open_group(counting, mode="r")
    for sweep in range(2):
        for var in VARIABLES:
            for kind in KINDS:
                array = group[f"sweep_{sweep}/{array_of(var, kind)}"]
                forget_planes()
                counting.keys.clear()
                array[:]
                chunks = sorted(k for k in counting.keys if k.startswith("sweep_"))
                assert chunks == sorted(wholly(tmp_path / "a.zarr", sweep, var, kind))


def test_damage_reaches_what_was_coded_with_the_damaged_mask(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    compress(families(), store, codec=ContextCodec.shipped(), threads=1).unwrap()
    planes = [(array_of(v, k), wholly(store, 1, v, k)) for v in VARIABLES for k in KINDS]
    reached = {}
    for var in VARIABLES:
        key = f"sweep_1/{var}_validity/{CHUNK}"
        whole = (store / key).read_bytes()
        (store / key).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        forget_planes()
        tree = xr.open_datatree(store, engine="zarr")
        for array, needed in planes:
            if key in needed:
                with pytest.raises(DamagedStore, match=rf"{var}_validity/0\.0"):
                    tree[f"sweep_1/{array}"].load()
            else:
                tree[f"sweep_1/{array}"].load()
        reached[var] = {array for array, needed in planes if key in needed}
        (store / key).write_bytes(whole)
    for var, alone in (("ZDR", True), ("RHOHV", True), ("WRADH", True), ("VRADH", False), ("DBZH", False)):
        assert (reached[var] == {var, f"{var}_validity"}) == alone
    assert reached["VRADH"] == {"VRADH", "VRADH_validity", "WRADH", "WRADH_validity"}
