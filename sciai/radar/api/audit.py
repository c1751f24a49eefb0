"""The codec's side of an audit: it compresses and reads back what ``sciai.radar.checks.audit`` asks.

Runs in a process of its own (``sciai.trust.audit.sealed``), apart from the one that compares with the
volumes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Level
from sciai.radar import checks
from sciai.radar.api.reading import decompress
from sciai.radar.api.strong import STRONG_BOUND, corrected, side_of, snapped
from sciai.radar.api.writing import compress
from sciai.radar.checks import audit as asked
from sciai.radar.checks import defects as probed
from sciai.radar.data.names import PSNR_PEAK
from sciai.radar.model.registry import trained_codec
from sciai.radar.train.volumes import shared_radar, volume_sets
from sciai.trust.audit.probe import probe
from sciai.trust.audit.subject import Context, remembered
from sciai.trust.audit.whole import Claim, Plan

if TYPE_CHECKING:
    import xarray as xr

    from sciai.core.checkpoint import Checkpoint
    from sciai.radar.model.interface import SweepCodec

__all__ = ["answers", "asking", "defects", "plan"]

Floats = npt.NDArray[np.float64]
Step = Callable[[float, str], None]
Volumes = Mapping[str, Mapping[str, Any]]
_QUICK = ("KLOT20210729_123848", "Aleria_frale_20151010", "DX50_20231127_1740", "SUR210819000227")


def answers(
    checkpoint: str, volumes: Volumes, files: Sequence[str], quick: bool, step: Step
) -> dict[str, Any]:
    """Every piece compressed at 35 dB, read back, and what the answer said of its error.

    Args:
        checkpoint: folder.
        volumes: of ``checks.audit.pieces``.
        files: all their files, for the seals.
        quick: fewer variables.
        step: progress.
    """
    codec = trained_codec(checkpoint)
    values, validity, error = [], [], []
    levels = {level.name.lower(): 0 for level in Level}
    times: list[float] = []
    shares: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (key, (tree, own)) in enumerate(asked.pieces(volumes, quick).items()):
            step(number / len(volumes), key)
            store = Path(folder) / f"{number}.zarr"
            began = time.perf_counter()
            answer = compress(tree, store, psnr=asked.PSNR, codec=codec, threads=1)
            took = time.perf_counter() - began
            levels[answer.level.name.lower()] += 1
            back = (
                None
                if answer.estimate is None or answer.level >= Level.REFUSE
                else decompress(store, threads=1)
            )
            if number:  # the first one warms up
                times.append(took)
                shares.append(_checked(tree, answer) / took)
            for piece in own:
                told = None if back is None else back[piece.sweep].to_dataset()
                size = piece.values.size
                values.append(np.full(size, np.nan) if told is None else told[piece.variable].values.ravel())
                validity.append(
                    piece.validity.ravel()
                    if told is None
                    else told[f"{piece.variable}_validity"].values.ravel()
                )
                spread = {} if answer.estimate is None else answer.estimate.spread
                error.append(float(spread.get(piece.variable, np.nan)))
    return {
        "values": np.concatenate(values).astype(np.float32),
        "validity": np.concatenate(validity).astype(np.uint8),
        "error": np.array(error),
        "costs": {
            "what": "a small volume, compressed, decoded and measured",
            "answer_ms": 1000 * float(np.median(times or [took])),
            "checks_share": float(np.median(shares or [0.0])),
            "answers": len(times),
            "levels": levels,
        },
    }


def _checked(tree: xr.DataTree, answer: Any) -> float:
    """Seconds that the checks take by themselves."""
    from sciai.radar.api.source import open_source

    source = open_source(tree)
    began = time.perf_counter()
    for before in checks.BEFORE:
        list(before(source))
    if answer.estimate is not None:
        for after in checks.AFTER:
            list(after(source, answer.estimate))
    return time.perf_counter() - began


def defects(
    checkpoint: str, volumes: Volumes, files: Sequence[str], quick: bool, step: Step
) -> dict[str, Any]:
    """Laws, contexts and specks, with planted defects beside them.

    Args:
        checkpoint: folder.
        volumes: of ``checks.audit.pieces``.
        files: all their files, for the seals.
        quick: fewer patches.
        step: progress.
    """
    step(0.0, "patches")
    chosen = dict(list(volumes.items())[: 3 if quick else 8])
    own = [piece for _, parts in asked.pieces(chosen, True).values() for piece in parts]
    of = probed.subject(own, asking(trained_codec(checkpoint)), quick)
    return probe({"strongest echo": (of, probed.UNUSED)}, times=1 if quick else 3, step=step)


def asking(codec: SweepCodec) -> Callable[[Floats, Context], Floats]:
    """How the auditor asks: the codec alone, or a store written and read as users do.

    Args:
        codec: what is asked.
    """

    def answer(rows: Floats, context: Context) -> Floats:
        patches = rows.reshape(-1, *probed.PATCH).astype(np.float32)
        told = np.array([_decoded(codec, patch) for patch in patches])
        if context.get("asked") == "through a store":
            # a store plans anew and measures; the strongest echo of both is within the bound of the patch's
            for k in np.unique(np.linspace(0, len(rows) - 1, 4).astype(int)):
                stored = _stored(codec, patches[k])
                told[k] = told[k] if abs(stored - told[k]) <= 2 * STRONG_BOUND else stored
        return told

    return remembered(answer)


@dataclass(frozen=True)
class _Alone:
    """A patch by itself: no circle, no other variable, nothing below it or before."""

    shape: tuple[int, ...]
    full_circle = False
    variables = ("DBZH",)
    below = previous = None

    def _none(self, var: str) -> Any:
        raise KeyError(var)

    mask = indices = spec = _none


def _decoded(codec: SweepCodec, patch: npt.NDArray[np.float32]) -> float:
    alone: Any = _Alone(patch.shape)
    validity = np.zeros(patch.shape, np.uint8)
    peak = PSNR_PEAK["DBZH"]
    spec = codec.plan("DBZH", [(patch, validity)], psnr=asked.PSNR, peak=peak, period=None)
    near = snapped(patch, validity, spec, STRONG_BOUND)
    payload, _ = codec.encode_values("DBZH", near, validity, spec, alone)
    indices = codec.decode_indices("DBZH", payload, validity, spec, alone)
    back = codec.reconstruct("DBZH", indices, validity, spec, alone)
    side = side_of(patch, back, validity, STRONG_BOUND)
    return float(np.max(corrected(back, validity, side)))


def _stored(codec: SweepCodec, patch: npt.NDArray[np.float32]) -> float:
    import xarray as xr

    field = xr.DataArray(patch, dims=("azimuth", "range"))
    tree = xr.DataTree.from_dict({"/sweep_0": xr.Dataset({"DBZH": field})})
    with tempfile.TemporaryDirectory() as folder:
        compress(tree, Path(folder) / "patch.zarr", psnr=asked.PSNR, codec=codec, threads=1).unwrap()
        back = decompress(Path(folder) / "patch.zarr", threads=1)
    return float(np.nanmax(back["sweep_0"].to_dataset()["DBZH"].values))


def plan(checkpoint: Checkpoint, files: Sequence[str] = ()) -> Plan:
    """How this checkpoint is audited.

    Args:
        checkpoint: with its card.
        files: radar volumes, one file each; where empty, the real volumes beside the checkout, and without
            those simulated ones.
    """
    volumes: dict[str, dict[str, Any]] = {}
    folder = shared_radar()
    if files:
        volumes = {Path(f).name: {"paths": [str(f)], "radar": Path(f).name.split("_")[0]} for f in files}
    elif folder is not None:
        sets = sorted(volume_sets(folder), key=lambda v: (v.key not in _QUICK, v.key))
        radars: set[str] = set()
        for volume in sets:  # one volume of each radar
            if volume.radar not in radars:
                radars.add(volume.radar)
                volumes[volume.key] = {"paths": [str(p) for p in volume.paths], "radar": volume.radar}
    else:
        volumes = {f"simulated-{seed}": {"seed": seed, "radar": f"simulated-{seed}"} for seed in range(6)}
    simulated = not files and folder is None
    return Plan(
        domain="radar",
        answers="sciai.radar.api.audit:answers",
        judge="sciai.radar.checks.audit:judge",
        defects="sciai.radar.api.audit:defects",
        arguments={"volumes": volumes},
        files=[path for about in volumes.values() for path in about.get("paths", ())],
        code=["sciai.radar.checks.audit", "sciai.radar.checks.defects", "sciai.radar.data.names"],
        actions=[asdict(rule) for rule in checks.actions()],
        packages=("sciai.radar.model", "sciai.radar.checks"),
        claims=[Claim("leave_one_radar_out/least_psnr", "least_psnr", 1.0)],
        cannot=(
            ("No real volume was there (none ships): nothing is known of real clutter, biota or noise.",)
            if simulated
            else ("How much smaller than other codecs it is: benchmarks/radar_unseen.py measures that.",)
        ),
    )
