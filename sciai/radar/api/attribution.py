"""Which tiles of a sweep take the bits, where the learned model saves them, and where the error is.

Bits are shared exactly: tiles are revealed one after the other in the order in which they are coded, and each
gets what the plane grows by. What the model saves is the same with the codec's learned weights taken away
(its adaptive counters stay) less with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.core.answer import Answer, Estimate, Finding, Provenance, ask
from sciai.core.errors import BadInput
from sciai.radar import checks
from sciai.radar.api.record import asked, stages
from sciai.radar.api.source import Source, open_source
from sciai.radar.data.names import circular_period, psnr_peak
from sciai.radar.model.registry import shipped_codec
from sciai.trust.explain import randomised, sanity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sciai.radar.model.context import ContextCodec

__all__ = ["TileShares", "attribution_figure", "check_sanity", "explain", "untrained"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TileShares:
    """One field of one sweep, tile by tile; every array has shape (tiles along azimuth, along range).

    Attributes:
        variable, sweep: what was looked at.
        unit: of the errors.
        valid: gates of the tile that are valid.
        bits: what the tile adds to the coded plane; they sum to its size. Coded by itself, without twin
            variable or previous volume.
        saved: bits that the learned weights save in it; below 0 where they cost.
        max_error: largest absolute error, in the variable's unit; NaN without valid gates.
        rms_error: root mean square error, likewise.
        total: bits of the plane.
    """

    variable: str
    sweep: int
    unit: str
    valid: npt.NDArray[np.int64]
    bits: Floats
    saved: Floats
    max_error: Floats
    rms_error: Floats
    total: int


def explain(
    volume: Any,
    variable: str | None = None,
    sweep: int | None = None,
    *,
    psnr: float = 35.0,
    tiles: tuple[int, int] = (6, 4),
) -> Answer[TileShares]:
    """Share the bits and the error of a field among its tiles.

    Args:
        volume: path or paths that `open_volume` reads, or a tree.
        variable: the field; the first one (reflectivity where there is one) when None.
        sweep: number of the sweep; the lowest when None.
        psnr: the quality it is coded with, dB.
        tiles: how many along azimuth and along range.

    Returns:
        The answer; its spread is each tile's largest error, in the variable's unit.

    Raises:
        BadInput: no such field or sweep, or nothing valid in it.
    """
    source = open_source(volume)
    codec: Any = shipped_codec("context")
    options = {"variable": variable, "sweep": sweep, "psnr": psnr, "tiles": tiles}

    def predict(_: Source) -> Estimate[TileShares]:
        shares = _shares(source, variable, sweep, psnr, tiles, codec, _plain())
        return Estimate(shares, shares.max_error, shares.unit)

    return ask(
        source,
        predict,
        before=(*checks.BEFORE, stages([codec])),
        policy=checks.policy(),
        provenance=Provenance("radar context", codec.checkpoint, calibration="measured on this volume"),
        told=asked("explain", volume, source, options),
    )


def untrained(codec: ContextCodec, seed: int = 0) -> ContextCodec:
    """The same codec with its learned weights shuffled: it has learned nothing.

    Args:
        codec: a trained one.
        seed: of the shuffling.
    """
    return type(codec)(randomised(codec.arrays, lambda name: True, seed))


def check_sanity(
    volume: Any, variable: str | None = None, sweep: int | None = None, *, other: ContextCodec | None = None
) -> list[Finding]:
    """Does what the model is said to save change when it has learned nothing?

    Args:
        volume: as for ``explain``.
        variable: likewise.
        sweep: likewise.
        other: an untrained codec; the shipped one with shuffled weights when None.
    """
    source = open_source(volume)
    codec: Any = shipped_codec("context")
    parts = []
    for used in (codec, other or untrained(codec)):
        shares = _shares(source, variable, sweep, 35.0, (6, 4), used, _plain())
        parts.append(np.where(shares.valid > 0, shares.saved / np.maximum(shares.valid, 1), 0.0).ravel())
    return sanity(parts[0], parts[1])


def _plain() -> Any:
    from sciai.radar.model.context import ContextCodec

    return ContextCodec.untrained()


def _shares(
    source: Source,
    variable: str | None,
    number: int | None,
    psnr: float,
    tiles: tuple[int, int],
    codec: Any,
    plain: Any,
) -> TileShares:
    var, at = _chosen(source, variable, number, codec)
    sweep = source.sweeps[at]
    values, validity = sweep.load(var)
    if not (validity == 0).any():
        raise BadInput(f"{var} has no valid gate in sweep {sweep.number}", field=var, fix="choose another")
    peak, period = psnr_peak(var, values[validity == 0]), circular_period(var, sweep.nyquist())
    spec = codec.plan(var, [(values, validity)], psnr=psnr, peak=peak, period=period)
    edges = [np.linspace(0, n, k + 1).astype(int) for n, k in zip(values.shape, tiles, strict=True)]
    bits, bare = (_revealed(c, var, values, validity, spec, edges) for c in (codec, plain))
    payload, indices = codec.encode_values(var, values, validity, spec, None)
    back = codec.reconstruct(var, indices, validity, spec, None)
    error = np.where(validity == 0, np.abs(back.astype(float) - values), np.nan)
    if period is not None:
        error = np.minimum(error, period - error)
    shape = tuple(tiles)
    valid, worst, rms = np.zeros(shape, int), np.full(shape, np.nan), np.full(shape, np.nan)
    for i, j in np.ndindex(*shape):
        part = error[edges[0][i] : edges[0][i + 1], edges[1][j] : edges[1][j + 1]]
        known = part[np.isfinite(part)]
        valid[i, j] = known.size
        if known.size:
            worst[i, j], rms[i, j] = known.max(), float(np.sqrt((known**2).mean()))
    from sciai.radar.api.palette import unit_of

    return TileShares(var, sweep.number, unit_of(var), valid, bits, bare - bits, worst, rms, 8 * len(payload))


def _chosen(source: Source, variable: str | None, number: int | None, codec: Any) -> tuple[str, int]:
    names = codec.order(source.variables)
    var = variable or names[0]
    if var not in source.variables:
        raise BadInput(f"the volume has no {var}", field="variable", fix=f"it has {', '.join(names)}")
    having = [at for at, sweep in enumerate(source.sweeps) if var in sweep.fields]
    if number is None:
        return var, having[0]
    found = [at for at in having if source.sweeps[at].number == number]
    if not found:
        there = ", ".join(str(source.sweeps[at].number) for at in having)
        raise BadInput(f"{var} is not in sweep {number}", field="sweep", fix=f"it is in {there}")
    return var, found[0]


def _revealed(codec: Any, var: str, values: Any, validity: Any, spec: Any, edges: Any) -> Floats:
    """Bits that each tile adds, tiles taken ray by ray as the codec goes."""
    seen = np.where(validity == 0, 2, validity).astype(np.uint8)
    bits, before = np.zeros((len(edges[0]) - 1, len(edges[1]) - 1)), 0
    for i, j in np.ndindex(*bits.shape):
        place = slice(edges[0][i], edges[0][i + 1]), slice(edges[1][j], edges[1][j + 1])
        if (validity[place] == 0).any():
            seen[place] = validity[place]
            payload, _ = codec.encode_values(var, values, seen, spec, None)
            bits[i, j], before = 8 * len(payload) - before, 8 * len(payload)
    return bits


def attribution_figure(shares: TileShares, title: str = "") -> Figure:
    """Four maps: bits for each valid gate, bits saved, largest error, valid gates.

    Args:
        shares: of ``explain``.
        title: above the picture.
    """
    from matplotlib.figure import Figure

    gates = np.where(shares.valid > 0, shares.valid, np.nan)
    panels = [
        ("bits for each valid gate", shares.bits / gates, "viridis"),
        ("bits for each valid gate that the model saves", shares.saved / gates, "RdBu"),
        (f"largest error, {shares.unit}", shares.max_error, "YlOrRd"),
        ("valid gates", gates, "Blues"),
    ]
    figure = Figure(figsize=(10.0, 6.4), layout="constrained", facecolor="white")
    for axes, (label, values, colours) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        ends = {}
        if colours == "RdBu":
            far = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
            ends = {"vmin": -far, "vmax": far}
        drawn = axes.imshow(
            values, aspect="auto", origin="lower", cmap=colours, extent=(0, 100, 0, 100), **ends
        )
        axes.set_title(label, loc="left", fontsize=10)
        axes.set_xlabel("range, % of the ray", fontsize=8)
        axes.set_ylabel("azimuth, % of the turn", fontsize=8)
        figure.colorbar(drawn, ax=axes, shrink=0.9)
    figure.suptitle(title or f"{shares.variable}, sweep {shares.sweep}: {shares.total / 8:,.0f} bytes")
    return figure
