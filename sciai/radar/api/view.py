"""Pictures of a volume: original, decoded and their difference, side by side.

Gates below noise are light grey, missing gates white, so that both kinds of invalid can be seen; a gate whose
validity changed would be magenta. Polar fields are drawn by nearest-gate lookup on a square grid, which shows
gates as they are (no smoothing) and takes a fraction of a second for any sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.radar.api.palette import (
    BELOW_NOISE_COLOUR,
    MISMATCH_COLOUR,
    MISSING_COLOUR,
    Scale,
    class_scale,
    difference_scale,
    scale_of,
)
from sciai.radar.api.raster import Raster, rasterise
from sciai.radar.data.build import fields_of, sweeps_of
from sciai.radar.data.categories import why_category
from sciai.radar.data.names import circular_period, psnr_peak
from sciai.radar.data.validity import BELOW_NOISE, MISSING, VALID, companion, validity_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

_MOST_ROWS = 24


def drawable(volume: xr.DataTree) -> list[str]:
    """Names of the fields that a volume has in any sweep, most telling first.

    Example:
        >>> from sciai.radar.data import simulate
        >>> drawable(simulate(seed=1, shape=(1, 36, 60)))[:2]
        ['DBZH', 'ZDR']
    """
    seen = list(dict.fromkeys(name for sweep in sweeps_of(volume) for name in fields_of(volume[sweep])))
    known = ["DBZH", "TH", "ZDR", "RHOHV", "PHIDP", "KDP", "VRADH", "WRADH"]
    return [n for n in known if n in seen] + [n for n in seen if n not in known]


def draw(
    volume: xr.DataTree,
    decoded: xr.DataTree | None = None,
    *,
    variables: Sequence[str] | None = None,
    sweeps: Sequence[int] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw fields of a volume, and what became of them.

    Args:
        volume: the original (or the only) volume.
        decoded: the volume after compression; then decoded and difference are drawn beside each field.
        variables: fields to draw; all that the volume has when None.
        sweeps: sweep numbers to draw; the lowest that holds each field when None.
        title: heading; site and time of the volume when None.

    Returns:
        A matplotlib figure: one row of three pictures for each field and sweep, or a grid of single pictures.

    Raises:
        BadInput: a field or sweep that the volume does not have, or more rows than a picture can hold.

    Example:
        >>> from sciai.radar.data import simulate
        >>> figure = draw(simulate(seed=1, shape=(1, 36, 60)), variables=["DBZH"])
        >>> len(figure.axes)
        2
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = _rows(volume, variables, sweeps)
    columns = min(3, len(rows)) if decoded is None else 3
    lines = -(-len(rows) // columns) if decoded is None else len(rows)
    width = 6.6 if columns == 1 else 4.9 * columns
    figure = Figure(
        figsize=(width, (5.4 if columns == 1 else 4.35) * lines + 0.7), dpi=100, layout="constrained"
    )
    FigureCanvasAgg(figure)
    figure.suptitle(title or heading(volume), fontsize=13, fontweight="bold")
    grid = figure.subplots(lines, columns, squeeze=False)
    places = [[axis] for axis in grid.flat] if decoded is None else grid
    for axes, (sweep, variable) in zip(places, rows, strict=False):
        _row(figure, axes, volume[sweep].to_dataset(), _sweep_or_none(decoded, sweep), sweep, variable)
    for spare in grid.flat[len(rows) :] if decoded is None else ():
        spare.set_axis_off()
    figure.supxlabel(
        "light grey: below noise  ·  white: missing or outside  ·  nearest gate, no smoothing"
        + ("" if decoded is None else "  ·  PSNR and worst error: of the sweep shown"),
        fontsize=9,
        color="#555555",
    )
    return figure


def view(
    volume: xr.DataTree,
    path: str | Path,
    decoded: xr.DataTree | None = None,
    *,
    variables: Sequence[str] | None = None,
    sweeps: Sequence[int] | None = None,
) -> Path:
    """Draw a volume into a PNG file.

    Args:
        volume: the original (or the only) volume.
        path: PNG to write; its folder must exist.
        decoded: the volume after compression, or None.
        variables: fields to draw, None for all.
        sweeps: sweep numbers, None for the lowest that holds each field.

    Raises:
        BadInput: as `draw`, or a path that cannot be written.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise BadInput("the folder of the picture does not exist", file=target, fix="make it first")
    figure = draw(volume, decoded, variables=variables, sweeps=sweeps)
    partial = target.with_name(f".{target.name}.partial")
    try:
        figure.savefig(partial, format="png")
        partial.replace(target)
    except OSError as error:
        raise BadInput(f"the picture could not be written: {error.strerror or error}", file=target) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def heading(volume: xr.DataTree) -> str:
    """Site and time of a volume in one line; says so when it is synthetic."""
    attrs = volume.attrs
    name = str(attrs.get("instrument_name") or attrs.get("site_name") or f"radar{_place(volume)}")
    when = ""
    for source in (volume.ds, *(volume[s].ds for s in sweeps_of(volume)[:1])):
        for key in ("time_coverage_start", "time"):
            if key in source.variables and source[key].size:
                when = str(source[key].values.flat[0])[:19].replace("T", " ").rstrip("Z") + " UTC"
                break
        if when:
            break
    note = "  (synthetic)" if is_synthetic(volume) else ""
    return "  ·  ".join(part for part in (name, when) if part) + note


def _place(volume: xr.DataTree) -> str:
    """Where a radar without a name stands; nothing where that is not known either."""
    known = volume.ds.variables
    degrees = [float(known[k].values) if k in known else np.nan for k in ("latitude", "longitude")]
    if not np.isfinite(degrees).all():
        return ""
    north, east = ("NS"[degrees[0] < 0], "EW"[degrees[1] < 0])
    return f" at {abs(degrees[0]):.2f}° {north}, {abs(degrees[1]):.2f}° {east}"


def is_synthetic(volume: xr.DataTree) -> bool:
    """Whether the volume says of itself that it was simulated."""
    stated = str(volume.attrs.get("synthetic", "false")).lower()
    return stated in ("true", "1", "yes") or "synthetic" in str(volume.attrs.get("title", "")).lower()


def difference(variable: str, original: F32, decoded: F32, sweep: xr.Dataset | None = None) -> F32:
    """Decoded minus original; the short way round for circular fields.

    Args:
        variable: FM301 name.
        original: ``[rays, gates]``, NaN where invalid.
        decoded: the same shape.
        sweep: the sweep they are from; tells the Nyquist velocity where it is known.

    Example:
        >>> difference("PHIDP", np.float32([[359.0]]), np.float32([[1.0]])).tolist()
        [[2.0]]
    """
    error = np.asarray(decoded, np.float32) - np.asarray(original, np.float32)
    period = circular_period(variable, nyquist=_nyquist(sweep), values=original)
    if period:
        error = np.where(np.abs(error) > period / 2, (error + period / 2) % period - period / 2, error)
    return error.astype(np.float32, copy=False)


def _rows(
    volume: xr.DataTree, variables: Sequence[str] | None, sweeps: Sequence[int] | None
) -> list[tuple[str, str]]:
    fields, have = drawable(volume), sweeps_of(volume)
    if not fields:
        raise BadInput("the volume has no field to draw", fix="a field has the dimensions (rays, range)")
    for name in variables or ():
        if name not in fields:
            raise BadInput(f"the volume has no field {name}", fix=f"choose from {', '.join(fields)}")
    for number in sweeps or ():
        if f"sweep_{number}" not in have:
            raise BadInput(
                f"the volume has no sweep {number}",
                fix=f"it has {len(have)}, numbered from 0",
            )
    rows = []
    for name in variables or fields:
        holding = [s for s in have if name in volume[s].data_vars]
        wanted = [f"sweep_{n}" for n in sweeps] if sweeps is not None else holding[:1]
        rows += [(sweep, name) for sweep in wanted if sweep in holding]
    if not rows:
        raise BadInput("none of these sweeps holds any of these fields", fix="see `sciai radar info`")
    if len(rows) > _MOST_ROWS:
        raise BadInput(f"{len(rows)} rows are too many for one picture", fix=f"choose at most {_MOST_ROWS}")
    return rows


def _sweep_or_none(volume: xr.DataTree | None, sweep: str) -> xr.Dataset | None:
    if volume is None:
        return None
    if sweep not in volume.children:
        raise BadInput(
            f"the decoded volume has no {sweep}", fix="give the store that was made from this volume"
        )
    return volume[sweep].to_dataset()


def _row(
    figure: Figure, axes: Any, sweep: xr.Dataset, decoded: xr.Dataset | None, name: str, variable: str
) -> None:
    values, flags = _plane(sweep, variable)
    raster = rasterise(sweep, variable, flags)
    attrs = sweep[variable].attrs
    named = why_category(variable, attrs, values)
    scale = class_scale(variable, values, attrs) if named else scale_of(variable, values)
    title = f"{variable}  {name.replace('_', ' ')}{_angle(sweep, raster.rhi)}"
    _panel(
        figure,
        axes[0],
        raster,
        values,
        flags,
        scale,
        title + ("" if (flags == VALID).any() else "  no valid gate"),
    )
    if decoded is None:
        return
    if variable not in decoded or decoded[variable].shape != values.shape:
        raise BadInput(f"the decoded {name} has no {variable} of the same shape", field=variable)
    values2, flags2 = _plane(decoded, variable)
    _panel(figure, axes[1], raster, values2, flags2, scale, "decoded")
    both = (flags == VALID) & (flags2 == VALID)
    nothing = np.float32(np.nan)
    error = np.where(both, difference(variable, values, values2, sweep), nothing).astype(np.float32)
    plain = np.where(both, values2 - values, nothing).astype(np.float32)
    changed = flags != flags2
    # the figures are plain differences, as promised and reported by `compress`, also where the picture wraps
    label = f"difference   {_quality(variable, values, plain, scale.unit)}"
    if not np.array_equal(error, plain, equal_nan=True):
        label += "   picture: the short way round"
    if changed.any():
        label += f"   {int(changed.sum())} gates changed validity"
    _panel(
        figure,
        axes[2],
        raster,
        error,
        flags,
        difference_scale(variable, error, scale.unit),
        label,
        changed=changed,
    )


def _quality(variable: str, values: F32, error: F32, unit: str) -> str:
    valid = error[np.isfinite(error)].astype(np.float64)
    if not valid.size:
        return "no valid gate"
    worst = float(np.abs(valid).max())
    mse = float(np.mean(valid**2))
    psnr = "lossless" if mse == 0 else f"PSNR {10 * np.log10(psnr_peak(variable, values) ** 2 / mse):.1f} dB"
    return f"{psnr}, worst {worst:.3g}{'' if unit == '°' else ' '}{unit}".rstrip()


def _plane(sweep: xr.Dataset, variable: str) -> tuple[F32, U8]:
    array = sweep[variable]
    order = [dim for dim in array.dims if dim != "range"] + ["range"]
    planes = {
        name: sweep[name].transpose(*order) for name in (variable, companion(variable)) if name in sweep
    }
    flags = validity_of(planes, variable)
    values = np.asarray(array.transpose(*order).values, dtype=np.float32)
    return np.where(flags == VALID, values, np.float32(np.nan)), flags


def _angle(sweep: xr.Dataset, rhi: bool) -> str:
    fixed = sweep.get("sweep_fixed_angle")
    if fixed is None or not np.isfinite(np.asarray(fixed, dtype=np.float64)).all():
        return ""
    return f"  ({'azimuth' if rhi else 'elevation'} {float(fixed):.1f}°)"


def _nyquist(sweep: xr.Dataset | None) -> float | None:
    if sweep is None or "nyquist_velocity" not in sweep:
        return None
    speeds = np.asarray(sweep["nyquist_velocity"].values, dtype=np.float64)
    speeds = speeds[np.isfinite(speeds) & (speeds > 0)]
    return float(speeds.min()) if speeds.size else None


def _panel(
    figure: Figure,
    axis: Axes,
    raster: Raster,
    values: F32,
    flags: U8,
    scale: Scale,
    title: str,
    *,
    changed: npt.NDArray[np.bool_] | None = None,
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, to_rgba
    from matplotlib.patches import Circle

    norm = Normalize(scale.low, scale.high, clip=True)
    if scale.classes:  # places in the list of them; one that came back as another is the nearest
        known = np.array(list(scale.classes))
        values = np.where(np.isfinite(values), np.searchsorted(known, values).clip(0, known.size - 1), values)
    if scale.base is not None:
        values = (scale.base + (values - scale.base) % 360.0).astype(np.float32)
    shown, state = values[raster.ray, raster.gate], flags[raster.ray, raster.gate]
    picture = scale.cmap(norm(np.nan_to_num(shown, nan=scale.low)))
    picture[state == BELOW_NOISE] = to_rgba(BELOW_NOISE_COLOUR)
    picture[state == MISSING] = to_rgba(MISSING_COLOUR)
    if changed is not None:
        picture[changed[raster.ray, raster.gate]] = to_rgba(MISMATCH_COLOUR)
    picture[~raster.inside] = 0.0
    aspect: Literal["auto", "equal"] = "auto" if raster.rhi else "equal"
    axis.imshow(picture, origin="lower", extent=raster.extent, interpolation="nearest", aspect=aspect)
    if not raster.rhi:
        reach = raster.extent[1]
        for part in (1 / 3, 2 / 3, 1.0):
            axis.add_patch(Circle((0, 0), reach * part, fill=False, lw=0.5, color="#7a828a", alpha=0.7))
        axis.axhline(0, lw=0.4, color="#7a828a", alpha=0.6)
        axis.axvline(0, lw=0.4, color="#7a828a", alpha=0.6)
    axis.set_title(title, fontsize=9.5, loc="left")
    axis.set_xlabel("range (km)" if raster.rhi else "east (km)", fontsize=8)
    axis.set_ylabel("height (km)" if raster.rhi else "north (km)", fontsize=8)
    axis.tick_params(labelsize=7.5)
    for side in axis.spines.values():
        side.set_color("#c3c9cf")
    beyond = bool((values < scale.low).any()), bool((values > scale.high).any())
    ends: Any = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond, "neither")
    bar = figure.colorbar(
        ScalarMappable(norm, scale.cmap), ax=axis, shrink=0.88, pad=0.015, aspect=28, extend=ends
    )
    if scale.classes:
        bar.set_ticks(range(len(scale.classes)), labels=list(scale.classes.values()))
    bar.ax.tick_params(labelsize=7.5)
    bar.outline.set_visible(False)
    bar.set_label(f"{scale.name} ({scale.unit})" if scale.unit else scale.name, fontsize=8)
