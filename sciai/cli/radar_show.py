"""What the radar commands print for a person: the figures of a store, and what a volume holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sciai.cli import show

if TYPE_CHECKING:
    import xarray as xr

    from sciai.radar.api.report import Compressed, VariableReport


def print_compressed(done: Compressed, title: str) -> None:
    """Print the measured figures of a store: one line for the whole, one row for each variable."""
    show.print_table(title, ["variable", *_COLUMNS], [_row(v) for v in done.variables.values()])
    console = show.stdout()
    console.print(
        f"[bold]{done.bits_per_value:.3f}[/] bit per gate-value, masks included "
        f"(masks {done.mask_bits_per_value:.4f}; whole store {done.total_bits_per_value:.3f})",
        soft_wrap=True,
    )
    assumed = "" if done.interval_from == "volume" else ", assumed"
    console.print(
        f"[bold]{size(done.store_bytes)}[/] for {done.gates / 1e6:.1f} M values, 1/{done.ratio:.0f} "
        f"of 16-bit words, {rate(done.total_mbps)} at a volume in {done.interval_s:.0f} s{assumed}",
        soft_wrap=True,
    )
    if done.seconds:
        console.print(f"{done.seconds:.1f} s", soft_wrap=True)


def print_store(figures: Mapping[str, Any]) -> None:
    """Print what `sciai.radar.api.info` says of a store."""
    rows = [
        [
            name,
            v.get("codec"),
            "exact" if v.get("lossless") else v.get("psnr"),
            v.get("max_error"),
            f"{v['bits_per_value']:.3f}",
            f"{v['mask_bits_per_value']:.4f}",
        ]
        for name, v in figures["variables"].items()
    ]
    columns = ["variable", "codec", "PSNR dB", "worst error", "bit/value", "mask"]
    show.print_table(f"{figures['path']}: as measured when it was written", columns, rows)
    stored = sum(figures["bytes"].values())
    state = "every file as it was written" if figures["intact"] else "[red]files were altered since[/]"
    show.stdout().print(
        f"[bold]{size(stored)}[/], {figures['total_bits_per_value']:.3f} bit per gate-value in all; {state}",
        soft_wrap=True,
    )
    if figures.get("previous"):
        show.stdout().print(f"needs the previous volume's store: {figures['previous']}", soft_wrap=True)


_COLUMNS = ("PSNR dB", "asked", "worst error", "asked", "unit", "bit/value", "mask", "valid %", "codec")


def _row(v: VariableReport) -> list[Any]:
    from sciai.radar.api.palette import unit_of

    return [
        v.name,
        "no values" if not v.valid_fraction else "exact" if v.lossless else f"{v.psnr:.2f}",
        "" if v.psnr_target is None else f"≥ {v.psnr_target:g}",
        f"{v.max_error:.3g}",
        "" if v.max_error_bound is None else f"≤ {v.max_error_bound:g}",
        unit_of(v.name),
        f"{v.bits_per_value:.3f}",
        f"{v.mask_bits_per_value:.4f}",
        f"{100 * v.valid_fraction:.1f}",
        v.codec,
    ]


def size(count: float) -> str:
    """Bytes as people read them.

    Example:
        >>> size(512), size(51_200), size(3_400_000)
        ('512 B', '51.2 kB', '3.4 MB')
    """
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def rate(mbps: float) -> str:
    """A bit rate as people read it.

    Example:
        >>> rate(7.314), rate(0.0035)
        ('7.31 Mbps', '3.5 kbps')
    """
    return f"{mbps:.2f} Mbps" if mbps >= 0.1 else f"{1000 * mbps:.1f} kbps"


def volume_figures(volume: xr.DataTree) -> dict[str, Any]:
    """What a volume holds: attributes, sweeps, variables, part of the gates that is valid.

    Args:
        volume: as `sciai.radar.open_volume` gives it.
    """
    import numpy as np

    from sciai.radar.api.view import drawable, heading
    from sciai.radar.data.build import fields_of, sweeps_of
    from sciai.radar.data.validity import BELOW_NOISE, VALID, companion, validity_of

    sweeps = []
    counts: dict[str, list[int]] = {name: [0, 0, 0] for name in drawable(volume)}
    for name in sweeps_of(volume):
        sweep = volume[name].to_dataset()
        fields = fields_of(sweep)
        angle = sweep.get("sweep_fixed_angle")
        for field in fields:
            # the companion where there is one: a store then decodes its masks only
            beside = companion(field)
            flags = np.asarray(sweep[beside].values) if beside in sweep else validity_of(sweep, field)
            counts[field][0] += flags.size
            counts[field][1] += int(np.count_nonzero(flags == VALID))
            counts[field][2] += int(np.count_nonzero(flags == BELOW_NOISE))
        shape = sweep[fields[0]].shape if fields else (0, 0)
        angle_value = None if angle is None else float(np.asarray(angle.values, dtype=np.float64).flat[0])
        sweeps.append({"name": name, "angle": angle_value, "shape": list(shape), "fields": fields})
    variables = {
        name: {
            "gates": gates,
            "valid_fraction": valid / max(gates, 1),
            "below_noise_fraction": below / max(gates, 1),
        }
        for name, (gates, valid, below) in counts.items()
    }
    return {
        "title": heading(volume),
        "gates": sum(gates for gates, _, _ in counts.values()),
        "variables": variables,
        "sweeps": sweeps,
        "attributes": {str(key): str(value) for key, value in volume.attrs.items()},
    }


def print_volume(figures: Mapping[str, Any]) -> None:
    """Print what `volume_figures` found."""
    rows = [
        [sweep["name"], sweep["angle"], " x ".join(map(str, sweep["shape"])), " ".join(sweep["fields"])]
        for sweep in figures["sweeps"]
    ]
    show.print_table(figures["title"], ["sweep", "angle °", "rays x gates", "fields"], rows)
    rows = [
        [name, v["gates"], f"{100 * v['valid_fraction']:.1f}", f"{100 * v['below_noise_fraction']:.1f}"]
        for name, v in figures["variables"].items()
    ]
    show.print_table(
        f"{figures['gates']:,} gate-values", ["variable", "gates", "valid %", "below noise %"], rows
    )
