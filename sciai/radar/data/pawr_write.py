"""Writer of MP-PAWR raw files; the layout is described in `sciai.radar.data.pawr`, the reader."""

from __future__ import annotations

import gzip
import math
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import xarray as xr

from sciai.core.atomic import whole_file
from sciai.core.errors import BadInput
from sciai.radar.data.arguments import path_of
from sciai.radar.data.build import Array, fields_of
from sciai.radar.data.names import PHASES, base_name
from sciai.radar.data.pawr import BELOW_NOISE_VALUE, BLOCK, CELL_DTYPE, HEADER, LIGHT, LSB, MISSING_VALUE
from sciai.radar.data.validity import BELOW_NOISE, MISSING, VALID, validity_of
from sciai.radar.data.write import check_maps, checked_sweeps, number_in

__all__ = ["write_pawr"]


def _to_bcd(time: np.datetime64) -> bytes:
    text = str(time.astype("datetime64[s]"))
    return bytes.fromhex(text.translate({ord(c): None for c in "-T:"})) + b"\0"


def write_pawr(
    volume: xr.DataTree,
    path: str | os.PathLike[str],
    *,
    variables: Sequence[str] | None = None,
    compress: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write a volume as MP-PAWR raw files, one per variable, all of them or none.

    Values are rounded to the format's step of 0.01 (and phases wrapped to -180..180, which its 16-bit
    words can hold); validity is exact. The format counts gates from the radar on: where the first one lies
    further out, missing gates go before it. It knows when a volume began and ended, and no times of rays.

    Args:
        volume: PPI sweeps with one number of rays; gates may differ from sweep to sweep.
        path: folder for ``<site>_<time>_<VAR>.dat[.gz]``; for a single variable a path with a
            suffix is the file itself.
        variables: fields to write; default all.
        compress: gzip.
        overwrite: replace existing files.

    Returns:
        The files written, in the order of ``variables``.

    Raises:
        BadInput: sweeps that do not fit the format (no PPI, rays, range steps, a first gate that is no whole
            number of gates out, more than 255 elevations), unknown variable, values beyond -326.99..327.67,
            existing output, disk full.

    Example:
        >>> import tempfile
        >>> from sciai.radar.data import open_volume, simulate
        >>> files = write_pawr(simulate(seed=1, shape=(2, 36, 60)), tempfile.mkdtemp(), variables=["DBZH"])
        >>> open_volume(files[0])["sweep_1/DBZH"].shape
        (36, 60)
    """
    target = path_of(path, "path", "raw/")
    every = checked_sweeps(volume, ("azimuth", "elevation", "range", "time"))
    found = {name: ds for name, ds in every.items() if fields_of(ds)}
    check_maps(found)
    names, sweeps = list(found), list(found.values())
    present = list(dict.fromkeys(f for ds in sweeps for f in fields_of(ds)))
    variables = present if variables is None else list(variables)
    for v in variables:
        if v not in present:
            raise BadInput("no such field in this volume", field=v, fix="fields: " + ", ".join(present))
    if not variables:
        raise BadInput("no data variable to write", field="variables")
    _check_layout(sweeps, names)
    single = len(variables) == 1 and target.suffix != "" and not target.is_dir()
    stamp = str(min(ds["time"].values.min() for ds in sweeps).astype("datetime64[s]")).translate(
        {ord(c): None for c in "-T:"}
    )
    site = "".join(c for c in str(volume.attrs.get("instrument_name") or "pawr") if c.isalnum()) or "pawr"
    ending = ".dat.gz" if compress else ".dat"
    files = [target] if single else [target / f"{site}_{stamp}_{v}{ending}" for v in variables]
    made = not single and not target.exists()
    with ExitStack() as stack:
        if made:
            stack.callback(_remove_if_empty, target)
        for v, final in zip(variables, files, strict=True):
            temporary = stack.enter_context(whole_file(final, overwrite=overwrite))
            opener = gzip.open if compress or final.suffix == ".gz" else open
            with opener(temporary, "wb") as out:  # type: ignore[operator]
                for part in _encoded(volume, sweeps, v):
                    out.write(part)
    return files


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # the files are in it where all went well
        folder.rmdir()


def _check_layout(sweeps: Sequence[xr.Dataset], names: Sequence[str]) -> None:
    if len(sweeps) > 255:
        raise BadInput(
            f"{len(sweeps)} elevations; the format holds 255", field="sweep", fix="write fewer sweeps"
        )
    rays = {ds[fields_of(ds)[0]].shape[0] for ds in sweeps if fields_of(ds)}
    if len(rays) != 1:
        problem = f"sweeps with {sorted(rays)} rays; MP-PAWR has one number for all elevations"
        raise BadInput(problem, field="azimuth", fix="write CfRadial2 or ODIM instead")
    for ds, n in zip(sweeps, names, strict=True):
        step = np.diff(ds["range"].values.astype(np.float64))
        if step.size and (
            np.ptp(step) > 0.5 or not 1 <= round(step[0]) <= 65535 or abs(step[0] - round(step[0])) > 1e-3
        ):
            raise BadInput(
                f"{n} has no constant range step of whole metres",
                field="range",
                unit="m",
                fix="write CfRadial2 instead",
            )
        _gates_before(ds, n)


def _gates_before(ds: xr.Dataset, name: str) -> int:
    """How many gates of the format lie before the first of the sweep: it counts them from the radar on.

    Raises:
        BadInput: where that is no whole number, or the first gate lies behind the radar.
    """
    gates = ds["range"].values.astype(np.float64)
    if gates.size < 2:
        if not 0 < 2.0 * gates[0] <= 65535:
            raise BadInput(
                f"{name} has one gate, at {gates[0]:g}",
                field="range",
                unit="m",
                fix="write CfRadial2 instead",
            )
        return 0
    step = round(float(gates[1] - gates[0]))
    before = (gates[0] - 0.5 * step) / step
    if round(before) < 0 or abs(before - round(before)) > 0.02:
        raise BadInput(
            f"{name} begins at {gates[0]:g}; the format counts gates of {step} from the radar on, "
            f"so that centres lie at {0.5 * step:g}, {1.5 * step:g}, ...",
            field="range",
            unit="m",
            fix="write CfRadial2 instead",
        )
    return round(before)


def _word(degrees: Array, full: float, dtype: str) -> Array:
    return (np.round(degrees * full).astype(np.int64) & 0xFFFF).astype(np.uint16).view(dtype)


def _encoded(volume: xr.DataTree, sweeps: Sequence[xr.Dataset], variable: str) -> Iterator[bytes]:
    """The bytes of one file: header, then ray by ray."""
    rays = sweeps[0]["azimuth"].size
    words = [
        np.pad(_words(ds, variable), ((0, 0), (_gates_before(ds, "a sweep"), 0)))  # word 0 is missing
        for ds in sweeps
    ]
    heads = [_cell_headers(ds, w.shape[1]) for ds, w in zip(sweeps, words, strict=True)]
    yield _file_header(volume, sweeps, variable)
    block = bytearray(BLOCK)
    for r in range(rays):
        first, last = heads[0][r], heads[-1][r]
        struct.pack_into(
            "<HhHh", block, 16, int(first["az0"]), int(first["el0"]), int(first["az1"]), int(last["el1"])
        )
        yield bytes(block)
        for h, w in zip(heads, words, strict=True):
            yield h[r].tobytes()
            yield w[r].tobytes()


def _words(ds: xr.Dataset, variable: str) -> Array:
    if variable not in ds:
        return np.zeros((ds["azimuth"].size, ds["range"].size), "<u2")
    values = np.asarray(ds[variable].values, np.float64)
    flags = validity_of(ds, variable)
    if base_name(variable) in PHASES:
        values = (values + 180.0) % 360.0 - 180.0
    valid = flags == VALID
    word = np.zeros(values.shape, np.float64)
    word[valid] = np.round((values[valid] - MISSING_VALUE) / LSB)
    below = round((BELOW_NOISE_VALUE - MISSING_VALUE) / LSB)
    if valid.any() and (word[valid].min() < below + 1 or word[valid].max() > 65535):
        low, high = float(values[valid].min()), float(values[valid].max())
        raise BadInput(
            f"values {low:g}..{high:g} beyond -326.99..327.67", field=variable, fix="write CfRadial2 instead"
        )
    word[flags == BELOW_NOISE] = below
    word[flags == MISSING] = 0
    return word.astype("<u2")


def _cell_headers(ds: xr.Dataset, gates: int) -> Array:
    azimuth, elevation = (np.asarray(ds[k].values, np.float64) for k in ("azimuth", "elevation"))
    centres = ds["range"].values.astype(np.float64)
    step = (
        np.diff(centres[:2]) if centres.size > 1 else 2.0 * centres[:1]
    )  # one gate reaches from the radar on
    heads = np.zeros(azimuth.size, CELL_DTYPE)
    # start = end = centre: the middle of the two is then the beam angle to the word's last bit
    heads["az0"] = heads["az1"] = _word(azimuth, 65536.0 / 360.0, "u2")
    heads["el0"] = heads["el1"] = _word(elevation, 32768.0 / 180.0, "i2")
    heads["step"] = round(float(step[0]))
    heads["short"], heads["long"] = 0, gates
    # PRF and frequency come back as the Nyquist velocity; 9.4 GHz is the radar's band
    nyquist = number_in(ds, "nyquist_velocity", apart=0.01)
    if math.isfinite(nyquist) and 0 < 4.0 * nyquist / (LIGHT / 9.4e9) < 65535:
        heads["frequency"], heads["prf"] = 94_000, round(4.0 * nyquist / (LIGHT / 9.4e9))
    return heads


def _file_header(volume: xr.DataTree, sweeps: Sequence[xr.Dataset], variable: str) -> bytes:
    head = bytearray(HEADER)
    head[16:48] = variable.encode("ascii", "replace")[:31].ljust(32, b"\0")
    times = [ds["time"].values for ds in sweeps]
    start, end = min(t.min() for t in times), max(t.max() for t in times)
    for at, time in (
        (48, start),
        (56, end + np.timedelta64(999, "ms")),
        (64, start),
        (72, start),
        (80, start),
    ):
        head[at : at + 8] = _to_bcd(time)
    head[136:168] = (
        str(volume.attrs.get("instrument_name") or "").encode("ascii", "replace")[:31].ljust(32, b"\0")
    )
    site = [number_in(volume, k) for k in ("latitude", "longitude", "altitude")]
    latitude, longitude, altitude = (0.0 if math.isnan(x) else x for x in site)
    struct.pack_into(
        "<iiii", head, 168, round(latitude * 1e6), round(longitude * 1e6), round(altitude * 100), 0
    )
    head[216:232] = str(volume.attrs.get("scan_name") or "").encode("ascii", "replace")[:15].ljust(16, b"\0")
    head[237] = len(sweeps)
    low, high = sweeps[0], sweeps[-1]
    struct.pack_into("<H", head, 238, low["azimuth"].size)
    azimuth = _word(low["azimuth"].values.astype(np.float64)[[0, -1]], 65536.0 / 360.0, "u2")
    elevation = [float(np.median(ds["elevation"].values)) for ds in (low, high)]
    word = _word(np.asarray(elevation), 32768.0 / 180.0, "i2")
    struct.pack_into("<HhHh", head, 240, int(azimuth[0]), int(word[0]), int(azimuth[1]), int(word[1]))
    struct.pack_into("<h", head, 384, 2)
    struct.pack_into("<iiii", head, 388, 1, 100, -32768, 100)
    return bytes(head)
