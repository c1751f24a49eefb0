"""`decompress` and `verify`: a store back into memory, and against its volume."""

from __future__ import annotations

import contextlib
import json
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from sciai.core.answer import Answer, Estimate, Finding, Level, Provenance, ask
from sciai.core.errors import BadInput, DamagedStore
from sciai.core.listen import tell
from sciai.radar import checks
from sciai.radar.api.coordinates import another_volume
from sciai.radar.api.measure import Tally, correlation
from sciai.radar.api.planes import CHUNK, PlaneReader, array_of
from sciai.radar.api.record import asked, of_store, receipt
from sciai.radar.api.report import Compressed, VariableReport
from sciai.radar.api.salvage import without_damaged_coordinates
from sciai.radar.api.schedule import run_tasks
from sciai.radar.api.sizes import bytes_of, parts_of, sizes_of, weights_of
from sciai.radar.api.source import Source, open_source
from sciai.radar.api.store import check_store, is_intact
from sciai.radar.data.arguments import path_of, shown, whole_number
from sciai.radar.data.build import sweeps_of
from sciai.radar.data.heritage import RECORD, line_of, noted, with_heritage

__all__ = ["decompress", "verify"]


def decompress(
    store: str | os.PathLike[str], *, damaged: Literal["raise", "missing"] = "raise", threads: int = 2
) -> xr.DataTree:
    """Load a whole store; every plane is decoded once.

    ``xarray.open_datatree(store, engine="zarr")`` gives the same tree lazily, but for the line that a store
    with losses adds to the root's ``history``: what its errors are, so that files made of it tell.

    Args:
        store: Folder that `compress` wrote.
        damaged: ``raise``: a damaged chunk is an error that names it; ``missing``: its gates become missing,
            with a warning that names it, and the rest is read. A damaged coordinate is left out.
        threads: Planes decoded at once.

    Returns:
        The volume: all groups, attributes and coordinates; fields float32 with NaN where invalid, beside
        ``<VAR>_validity``.

    Raises:
        BadInput: there is no store.
        DamagedStore, CheckpointError: it, its model or the previous volume is altered or gone.
    """
    store, threads = path_of(store, "store", "out.zarr"), whole_number(threads, "threads", 1, 2)
    if damaged not in ("raise", "missing"):
        raise BadInput(f"damaged of {shown(damaged)}", field="damaged", fix="use 'raise' or 'missing'")
    query = of_store("decompress", store, {"damaged": damaged})
    volume, losses = _decoded(store, damaged, threads)
    for loss in losses:
        warnings.warn(loss, stacklevel=2)
    if query is not None:
        tell(query, receipt(volume, losses, check_store(store)))
    return volume


def _decoded(
    store: str | os.PathLike[str], damaged: Literal["raise", "missing"], threads: int
) -> tuple[xr.DataTree, list[str]]:
    """The volume, and what of it could not be read."""
    check_store(store)
    reader = PlaneReader.of_folder(store)
    with _unreplaced(reader):
        return _all_of(reader, Path(store), damaged, threads)


@contextlib.contextmanager
def _unreplaced(reader: PlaneReader) -> Iterator[None]:
    """Make sure that what was read is of one store: another one may take its place at any moment."""
    version, failure = reader.version, None
    try:
        yield
    except (DamagedStore, FileNotFoundError) as err:
        failure = err
    if reader.identity() not in (version, ""):
        raise DamagedStore(
            f"{reader.label}: the store was replaced while it was being read; read it again"
        ) from failure
    if failure is not None:
        raise failure


def _all_of(
    reader: PlaneReader, store: Path, damaged: Literal["raise", "missing"], threads: int
) -> tuple[xr.DataTree, list[str]]:
    whole: Any = store
    losses: list[str] = []
    if damaged == "missing":
        whole, losses = without_damaged_coordinates(store)
    tree = xr.open_datatree(whole, engine="zarr", chunks=None)
    try:
        nodes = {node.path: node.to_dataset(inherit=False) for node in tree.subtree}
        planes: dict[tuple[str, str], np.ndarray[Any, Any]] = {}
        tasks = [(name, var) for name in sweeps_of(tree) for var in _coded(nodes[f"/{name}"])]

        def one(task: tuple[str, str]) -> None:
            name, var = task
            number, shape = int(name[6:]), nodes[f"/{name}"].variables[var].shape
            for kind in ("mask", "values"):
                try:
                    plane = reader.mask(number, var) if kind == "mask" else reader.values(number, var)
                    if plane.shape != shape:
                        raise DamagedStore(f"{store}: {name}/{var} is {plane.shape}, zarr.json says {shape}")
                except DamagedStore as err:
                    if damaged == "raise":
                        raise
                    losses.append(str(err))
                    plane = (
                        np.full(shape, 2, np.uint8) if kind == "mask" else np.full(shape, np.nan, np.float32)
                    )
                planes[name, array_of(var, kind)] = plane.copy() if kind == "mask" else plane

        run_tasks(tasks, {}, one, threads=threads)
        for path, dataset in nodes.items():
            nodes[path] = _loaded(dataset, path.strip("/"), planes)
        line = line_of(store)
        return noted(with_heritage(xr.DataTree.from_dict(nodes), [line] if line else [])), losses
    finally:
        tree.close()


def verify(volume: Any, store: str | os.PathLike[str], *, threads: int = 2) -> Answer[Compressed]:
    """Decode a store and measure it against the volume it was made from and the bounds it states.

    Args:
        volume: Path, paths or tree.
        store: Folder that `compress` wrote.
        threads: Planes decoded at once.

    Returns:
        Answer with the figures measured now; it refuses where a bound does not hold, a mask or a coordinate
        differs, a chunk is damaged, or one of the two has what the other lacks.

    Raises:
        BadInput: there is no such volume or store.
        DamagedStore: ``zarr.json`` or the record was altered.
    """
    started = time.perf_counter()
    store, threads = path_of(store, "store", "out.zarr"), whole_number(threads, "threads", 1, 2)
    source = open_source(volume)
    record = check_store(store)
    reader = PlaneReader.of_folder(store)
    found: list[Finding] = []

    def predict(_: Source) -> Estimate[Compressed]:
        with _unreplaced(reader):
            tallies, losses = _compare(source, reader, threads)
            found.extend([*another_volume(source, store), *losses, *_without_previous(reader)])
        if not any(f.check == "damaged" for f in found) and not is_intact(store, sizes_of(store), record):
            message = "files of the store were altered since it was written, though all fields decode"
            found.append(Finding("damaged", Level.REFUSE, message, "store"))
        value = _measured(source, tallies, record, Path(store), time.perf_counter() - started)
        return Estimate(value, {v: r.max_error for v, r in value.variables.items()})

    def losses(_: Source, estimate: Estimate[Compressed]) -> Iterable[Finding]:
        return found

    models = record.get("models") or {}
    return ask(
        source,
        predict,
        before=(checks.second_hand,),
        after=(losses, checks.bounds),
        policy=checks.policy(),
        provenance=Provenance(
            model="radar store",
            checkpoint="; ".join(f"{k} {v}" for k, v in models.items()),
            calibration="measured against the volume given",
        ),
        told=asked("verify", volume, source, {"store": store}),
    )


def _without_previous(reader: PlaneReader) -> list[Finding]:
    """A finding where the previous volume, or one that it needs, is gone: planes may be in memory still."""
    try:
        while json.loads(reader.fetch(RECORD) or b"{}").get("previous"):
            reader = reader.previous()
    except DamagedStore as err:
        return [Finding("damaged", Level.REFUSE, str(err), "previous")]
    return []


def _coded(dataset: xr.Dataset) -> list[str]:
    names = set(map(str, dataset.variables))
    return sorted(n for n in names if array_of(n, "mask") in names)


def _loaded(
    dataset: xr.Dataset, name: str, planes: Mapping[tuple[str, str], np.ndarray[Any, Any]]
) -> xr.Dataset:
    fresh = {}
    for key, variable in dataset.variables.items():
        plane = planes.get((name, str(key)))
        if plane is not None:
            fresh[key] = xr.Variable(variable.dims, plane, variable.attrs)
    dataset = dataset.assign(fresh).load()
    for variable in dataset.variables.values():
        # the store's own codecs are no encoding for the file the user writes next
        variable.encoding = {
            k: v for k, v in variable.encoding.items() if k in ("units", "calendar", "dtype")
        }
    return dataset


def _compare(source: Source, reader: PlaneReader, threads: int) -> tuple[dict[str, Tally], list[Finding]]:
    tallies = {v: Tally() for v in source.variables}
    findings: list[Finding] = []

    def one(task: tuple[int, str]) -> None:
        at, var = task
        sweep = source.sweeps[at]
        where = f"{sweep.name}/{var}"
        values, validity = sweep.load(var)
        tally = Tally()
        try:
            mask, back = reader.mask(sweep.number, var), reader.values(sweep.number, var)
        except DamagedStore as err:
            gone = reader.fetch(f"{sweep.name}/{var}/{CHUNK}") is None
            findings.append(Finding("missing_part" if gone else "damaged", Level.REFUSE, str(err), where))
            return
        if mask.shape != validity.shape:
            message = f"the store holds {mask.shape}, the volume {validity.shape}: another volume"
            findings.append(Finding("missing_part", Level.REFUSE, message, where))
            return
        if not np.array_equal(mask, validity):
            count = int((mask != validity).sum())
            findings.append(Finding("mask", Level.REFUSE, f"{count} gates have another validity", where))
            tally.max_error = np.inf
        both = np.where((mask == 0) & (validity == 0), np.uint8(0), np.uint8(2))
        tally.add(values, back, both, reflectivity=source.is_reflectivity(var))
        tally.pairs = list(correlation(values, validity))
        tallies[var].merge(tally)

    tasks = [(at, v) for at, s in enumerate(source.sweeps) for v in s.fields]
    run_tasks(tasks, {}, one, threads=threads)
    return tallies, sorted(findings, key=lambda f: f.where)


def _measured(
    source: Source, tallies: Mapping[str, Tally], record: Mapping[str, Any], path: Path, seconds: float
) -> Compressed:
    sizes = weights_of(path, sizes_of(path))
    parts = parts_of(sizes, record["variables"])
    variables = {}
    for var, tally in tallies.items():
        kept = record["variables"].get(var, {})
        peak = float(kept.get("psnr_peak", 1.0))
        own = max(1, sum(s.shape[0] * s.shape[1] for s in source.having(var)))
        values, masks = bytes_of(sizes, var)
        variables[var] = VariableReport(
            name=var,
            codec=str(kept.get("codec", "")),
            mask_codec="",
            psnr=tally.psnr(peak),
            psnr_peak=peak,
            psnr_target=kept.get("psnr_target"),
            max_error=tally.max_error,
            max_error_bound=kept.get("max_error_bound"),
            lossless=tally.exact,
            step=float("nan"),
            bits_per_value=8 * values / own,
            mask_bits_per_value=8 * masks / own,
            valid_fraction=tally.valid / own,
            csi={f"{t:g}": v for t, v in tally.csi().items()},
            echo_created=tally.created,
            echo_removed=tally.removed,
            rain_rate_bias=tally.rain_bias(),
            roughness=tally.roughness(),
            spread=tally.spread(),
            lost=tally.lost(),
            strong_error=tally.strong,
            strong_bound=kept.get("strong_bound"),
        )
    gates, total = source.gates, sum(parts.values())
    arrays = {array_of(v, "mask") for v in variables}
    masks = sum(size for key, size in sizes.items() if key.split("/")[1:2] and key.split("/")[1] in arrays)
    interval, known = source.interval()
    return Compressed(
        path=str(path),
        variables=variables,
        gates=gates,
        bits_per_value=8 * parts["fields"] / gates,
        mask_bits_per_value=8 * masks / gates,
        total_bits_per_value=8 * total / gates,
        mbps=8e-6 * parts["fields"] / interval,
        total_mbps=8e-6 * total / interval,
        interval_s=interval,
        interval_from="volume" if known else "assumed",
        store_bytes=total,
        field_bytes=parts["fields"],
        metadata_bytes=parts["metadata"],
        coordinate_bytes=parts["coordinates"],
        model_bytes=parts["models"],
        raw_bytes=2 * gates,
        ratio=2 * gates / max(1, total),
        seconds=seconds,
        sweeps=len(source.sweeps),
        models=record.get("models") or {},
        previous=(record.get("previous") or {}).get("path"),
    )
