"""The radar part of the demo: compress a volume, decode it in a new process, measure, picture."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np

from sciai.core.answer import Answer, Level
from sciai.core.errors import DamagedStore, SciaiError
from sciai.studio.report import Picture, Section, Table, Tile, png_of

if TYPE_CHECKING:
    import xarray as xr

    from sciai.radar.api.report import Compressed

Step = Callable[[float, str], None]

PUBLIC_VOLUME: Final = ("KHGX", "2017-08-26T12:00")
"""Hurricane Harvey over Houston, from NOAA's public archive; not among the radars of the training data."""
SIMULATED: Final[Mapping[str, Any]] = {"seed": 20, "shape": (12, 300, 400)}
RATES: Final = (30.0, 35.0, 40.0, 45.0)
STREAM_MBPS: Final = 355.0
REACH_SECONDS: Final = 4.0
MOST_PICTURES: Final = 6

LIMITS: Final = (
    "The bounds hold for this volume because they were measured on it; how small the next one gets is open.",
    "PSNR is a mean over gates. Where single gates matter (hail, velocity couplets), ask for max_error too.",
    "Products made from the decoded fields (hydrometeor classes, winds) inherit the stated errors; they were "
    "not measured here.",
    "Keep the original stream where rules or research demand it, or compress with --lossless.",
)


@dataclass(frozen=True)
class Demonstration:
    """A section of the report, and the same figures as data."""

    section: Section
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class _Source:
    """A volume, a sentence on where it is from, a banner where it is synthetic, and how to get it by hand."""

    volume: xr.DataTree
    words: str
    banner: str
    command: str
    name: str


def demonstrate(out: Path, files: Sequence[Path], *, offline: bool, step: Step) -> Demonstration:
    """Run radar's main job.

    Args:
        out: folder for the store.
        files: the user's volume; empty to fetch or simulate one.
        offline: do not look for a network.
        step: progress callback.

    Raises:
        BadInput: a volume that cannot be read.
        DamagedStore: where the new process decodes anything but what this one does.
    """
    from sciai.radar import api

    step(0.02, "radar: getting a volume")
    source = _source(out, files, offline)
    store = out / "radar.zarr"
    step(0.15, "radar: compressing at 35 dB")
    answer = api.compress(source.volume, store, psnr=35, overwrite=True, progress=_within(step, 0.15, 0.45))
    if answer.level is Level.REFUSE or answer.estimate is None:
        return _refused(source, answer)
    step(0.45, "radar: decoding in a new process")
    child = _reread(store)
    step(0.6, "radar: comparing")
    decoded = api.decompress(store)
    _same(decoded, child["fields"])
    step(0.7, "radar: drawing")
    pictures = _pictures(source.volume, decoded)
    step(0.8, "radar: other rates")
    rates = _rates(source.volume, out)
    step(1.0, "radar: done")
    figures = {
        "input": source.words,
        "answer": answer.to_dict(),
        "decoded_in_new_process": {key: child[key] for key in ("seconds", "loaded")},
        "rates": [{"target": target, **row} for target, row in rates],
    }
    return Demonstration(_section(source, answer, child, pictures, rates), figures)


def _within(step: Step, low: float, high: float) -> Step:
    """A progress callback for a part of the work."""
    return lambda part, text: step(low + (high - low) * part, f"radar: {text}")


def _source(out: Path, files: Sequence[Path], offline: bool) -> _Source:
    from sciai.radar.data import fetch, open_volume, simulate
    from sciai.radar.data.archive import BASE_URL

    if files:
        names = [str(file) for file in files]
        volume = open_volume(names[0] if len(names) == 1 else names)
        return _Source(volume, f"Your volume, {', '.join(names)}.", _banner(volume), "", " ".join(names))
    why = "no network was wanted"
    if not offline:
        site, when = PUBLIC_VOLUME
        try:
            _reach(BASE_URL)
            path = fetch(site, when, out, progress=False)
        except (SciaiError, OSError) as error:
            why = f"no public volume could be fetched ({_first_sentence(error)})"
        else:
            words = f"A real volume: NEXRAD {site}, {when} UTC, from NOAA's public archive ({path.name})."
            return _Source(open_volume(path), words, "", f"sciai radar fetch {site} {when}", path.name)
    volume = simulate(**SIMULATED)
    elevations, rays, gates = SIMULATED["shape"]
    words = (
        f"A simulated storm, because {why}: {elevations} elevations x {rays} azimuths x {gates} ranges "
        "on the MP-PAWR geometry, seven variables."
    )
    command = f"sciai radar simulate storm.nc --seed {SIMULATED['seed']} --shape {elevations}x{rays}x{gates}"
    return _Source(volume, words, _banner(volume), command, "storm.nc")


def _reach(url: str) -> None:
    """Raise OSError where an address does not answer soon: a dead network must not stall a demo."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    with socket.create_connection((parts.hostname or "", port), timeout=REACH_SECONDS):
        pass


def _banner(volume: xr.DataTree) -> str:
    from sciai.radar.api.view import is_synthetic

    if not is_synthetic(volume):
        return ""
    return (
        "SYNTHETIC INPUT. Simulated volumes are smoother than real ones and flatter every codec: the figures "
        "below show that everything works, not what a real radar costs. For that: make demo VOLUME=your-file"
    )


def _first_sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return "there is no network"
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].split("; ")[0][:160]


def _reread(store: Path) -> dict[str, Any]:
    """Decode the store in a process of its own; see `sciai.studio.reread`."""
    command = [sys.executable, "-m", "sciai.studio.reread", str(store)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DamagedStore(f"{store} could not be decoded in a new process: {last}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _same(decoded: xr.DataTree, hashes: Mapping[str, str]) -> None:
    """Raise where another process decoded other bytes than this one."""
    here = {
        name: hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
        for name, values in _all(decoded)
    }
    different = sorted(name for name in here.keys() | hashes.keys() if here.get(name) != hashes.get(name))
    if different:
        raise DamagedStore(f"a new process decoded something else than this one: {', '.join(different[:5])}")


def _all(volume: xr.DataTree) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for name in volume.children:
        for variable, array in volume[name].data_vars.items():
            if array.ndim == 2 and "range" in array.dims:
                yield f"{name}/{variable}", array.values


def _pictures(volume: xr.DataTree, decoded: xr.DataTree) -> list[Picture]:
    from sciai.radar.api.view import draw, drawable

    names = drawable(volume)[:MOST_PICTURES]
    figure = draw(volume, decoded, variables=names)
    caption = (
        "Original, decoded, and decoded minus original, at the lowest sweep that has the field. "
        "Light grey is below noise, white is missing; both come back exactly."
    )
    return [Picture(png_of(figure, width=1320), caption)]


def _rates(volume: xr.DataTree, out: Path) -> list[tuple[str, dict[str, float]]]:
    """Rate against quality on one sweep: what a decibel costs on this very weather.

    Returns:
        target -> bits per value, ratio, worst reflectivity error (NaN without reflectivity), lowest PSNR.
    """
    from sciai.radar import api

    part = _one_sweep(volume)
    rows: list[tuple[str, dict[str, float]]] = []
    targets: list[tuple[str, dict[str, Any]]] = [(f"{psnr:g} dB", {"psnr": psnr}) for psnr in RATES]
    with tempfile.TemporaryDirectory(dir=out) as folder:
        for number, (label, target) in enumerate([*targets, ("lossless", {"lossless": True})]):
            answer = api.compress(part, Path(folder) / f"{number}.zarr", **target)
            if answer.level is Level.REFUSE or answer.estimate is None:
                continue
            done = answer.estimate.value
            reflectivity = [v.max_error for v in done.variables.values() if v.name == "DBZH"]
            rows.append(
                (
                    label,
                    {
                        "bits_per_value": done.bits_per_value,
                        "times_smaller": 16 / done.bits_per_value,
                        "lowest_psnr": min(v.psnr for v in done.variables.values()),
                        "worst_dbzh": max(reflectivity, default=float("nan")),
                    },
                )
            )
    return rows


def _one_sweep(volume: xr.DataTree) -> xr.DataTree:
    """The lowest sweep with the most fields, as a volume of its own."""
    import xarray as xr

    from sciai.radar.data.build import fields_of, sweeps_of

    names = sweeps_of(volume)
    best = max(names, key=lambda name: (len(fields_of(volume[name])), -names.index(name)))
    sweep = volume[best]
    node = sweep.to_dataset(inherit=False) if isinstance(sweep, xr.DataTree) else xr.Dataset()
    return xr.DataTree.from_dict({"/": volume.to_dataset(), "/sweep_0": node})


def _refused(source: _Source, answer: Answer[Compressed]) -> Demonstration:
    section = Section(
        title="Radar: compress a volume with a proven bound",
        lead=f"{source.words} The answer was refused; nothing was written. The reasons are below.",
        level=answer.level,
        findings=answer.findings,
        limits=LIMITS,
        banner=source.banner,
    )
    return Demonstration(section, {"input": source.words, "answer": answer.to_dict()})


def _section(
    source: _Source,
    answer: Answer[Compressed],
    child: Mapping[str, Any],
    pictures: Sequence[Picture],
    rates: Sequence[tuple[str, Mapping[str, float]]],
) -> Section:
    done = answer.unwrap()
    lowest = min(done.variables.values(), key=lambda v: v.psnr)
    values = sum(v.valid_fraction for v in done.variables.values()) / max(len(done.variables), 1)
    without = (
        "without torch, Lightning or compressai"
        if set(child["loaded"]) <= {"numba"}
        else (f"with {', '.join(child['loaded'])} loaded")
    )
    lead = (
        f"{source.words} {_many(done.sweeps, 'sweep')}, {_many(len(done.variables), 'variable')}, "
        f"{done.gates / 1e6:.1f} million gate-values, {100 * values:.0f} % of them valid. Compressed to a "
        "Zarr store at 35 dB or better for every variable, decoded from the written bytes and measured; "
        f"then opened in a new process with xarray alone ({without}), where every field came back bit for "
        "bit the same."
    )
    # seconds that the 355 Mbps stream takes for as many 16-bit words
    stream = done.gates * 16 / 1e6 / STREAM_MBPS
    sizes = f"{done.store_bytes / 1e6:.2f} of {done.raw_bytes / 1e6:.0f} MB"
    wrote, read = done.seconds, child["seconds"]
    tiles = (
        Tile(
            f"{done.bits_per_value:.3f}",
            "bit per gate-value",
            f"of them masks {done.mask_bits_per_value:.4f}",
        ),
        Tile(f"{done.ratio:.0f} x", "smaller than 16-bit words", sizes),
        Tile(f"{_psnr(lowest.psnr)}", "lowest PSNR of any variable", f"{lowest.name}; promised 35 dB"),
        Tile("exact", "validity of every gate", "valid, below noise, missing"),
        Tile(
            f"{stream / wrote:.2f} x",
            "of a 355 Mbps stream, writing",
            f"{wrote:.1f} s, proof included",
        ),
        Tile(
            f"{stream / read:.2f} x",
            "of it, reading",
            f"{read:.1f} s, new process",
        ),
    )
    return Section(
        title="Radar: compress a volume with a proven bound",
        lead=lead,
        level=answer.level,
        findings=answer.findings,
        tiles=tiles,
        tables=(_variables(done), *_events(done), *([_rate_table(rates)] if rates else [])),
        pictures=pictures,
        limits=LIMITS,
        commands=_commands(source),
        banner=source.banner,
    )


def _variables(done: Compressed) -> Table:
    from sciai.radar.api.palette import unit_of

    rows = [
        [
            v.name,
            _psnr(v.psnr),
            f"{v.max_error:.3g} {unit_of(v.name)}".strip(),
            f"{v.bits_per_value:.3f}",
            f"{v.mask_bits_per_value:.4f}",
            f"{100 * v.valid_fraction:.1f} %",
            v.codec,
        ]
        for v in done.variables.values()
    ]
    columns = ["variable", "PSNR", "worst error", "bit/value", "bit/value, mask", "valid", "codec"]
    note = (
        "PSNR over valid gates, against the peak stored with the result "
        f"({', '.join(f'{v.name} {v.psnr_peak:g}' for v in done.variables.values())}). Bits over all gates."
    )
    return Table("What was measured, variable by variable", columns, rows, note)


def _events(done: Compressed) -> list[Table]:
    """Scores of what weather services act on, for reflectivities."""
    rows = [
        [
            v.name,
            *(_score(v.csi.get(key)) for key in v.csi),
            f"{v.echo_created:,}",
            f"{v.echo_removed:,}",
            "-" if v.rain_rate_bias is None else f"{100 * v.rain_rate_bias:+.3f} %",
        ]
        for v in done.variables.values()
        if v.csi
    ]
    if not rows:
        return []
    thresholds = next(list(v.csi) for v in done.variables.values() if v.csi)
    columns = [
        "variable",
        *(f"CSI {t} dBZ" for t in thresholds),
        "echo created",
        "echo removed",
        "rain rate bias",
    ]
    note = "CSI 1 means that the same gates reach the threshold. Created, removed: gates that cross 20 dBZ."
    return [Table("Events", columns, rows, note)]


def _rate_table(rates: Sequence[tuple[str, Mapping[str, float]]]) -> Table:
    rows = [
        [
            label,
            _psnr(row["lowest_psnr"]),
            f"{row['bits_per_value']:.3f}",
            f"{row['times_smaller']:.0f} x",
            "-" if np.isnan(row["worst_dbzh"]) else f"{row['worst_dbzh']:.2f} dBZ",
        ]
        for label, row in rates
    ]
    columns = ["asked for", "lowest PSNR", "bit/value", "smaller than 16 bit", "worst DBZH error"]
    return Table("Rate and quality, on one sweep of this volume", columns, rows)


def _commands(source: _Source) -> list[str]:
    return [
        *([source.command] if source.command else []),
        f"sciai radar compress {source.name} radar.zarr --psnr 35",
        f"sciai radar verify {source.name} radar.zarr",
        f"sciai radar view {source.name} radar.zarr -o compare.png",
        "python -c \"import xarray; print(xarray.open_datatree('radar.zarr', engine='zarr'))\"",
    ]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _psnr(value: float) -> str:
    return "exact" if np.isinf(value) else f"{value:.2f} dB"


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
