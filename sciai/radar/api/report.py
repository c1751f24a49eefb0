"""What `compress` and `verify` answer with, and what a store remembers of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Compressed", "VariableReport"]


@dataclass(frozen=True)
class VariableReport:
    """One variable, measured on what was decoded from the written store.

    Attributes:
        name: FM301 name.
        codec: Codec of its values; several joined by "+" where sweeps differ.
        mask_codec: Codec of its masks.
        psnr: dB over valid gates; infinite where exact.
        psnr_peak: Peak of that PSNR, in the variable's unit.
        psnr_target: What was promised, None where no PSNR was.
        max_error: Largest absolute error, in the variable's unit.
        max_error_bound: What was promised, None where no bound was.
        lossless: Every valid value came back bit for bit.
        strong_error: Largest error in dB of strong echo (before or after 45 dBZ or more; below that, the
            strongest of its sweep); None where the variable is no reflectivity or has no valid gate.
        strong_bound: What was promised of it, together with that no gate crosses 45 dBZ; None where nothing
            was, or where `max_error_bound` says more.
        step: Quantiser step (largest, where sweeps differ), in the variable's unit; 0 for float-exact coding.
        bits_per_value: Of the values, over all gates, chunk headers included.
        mask_bits_per_value: Of the mask, over all gates.
        valid_fraction: Part of the gates that are valid.
        csi: Critical success index at 20, 35 and 45 dBZ (reflectivity only; None where nothing reaches it).
        echo_created: Gates that reach 20 dBZ only after decoding.
        echo_removed: Gates that reach 20 dBZ only before.
        rain_rate_bias: Relative bias of the summed rain rate (Z = 200 R^1.6); None where it does not apply.
        roughness: 0 for a smooth field, 1 for white noise along the ray.
        spread: Standard deviation of the middle 98 % of the values within their sweeps; None where nothing
            varies.
        lost: Part of their variance that is error; 1 and more where nothing of it is left.
        repaired: Chunks that the planned codec could not code within the bound.
        lowest: Least valid value; None where there is none. (Only `compress` tells these.)
        highest: Largest valid value.
        beyond_fraction: Part of the gates whose value the variable cannot have (`sciai.radar.data.limits`).
        fill_value: A value that looks like one for gates without any; None where nothing does.
        fill_fraction: Part of the gates that have it.
        no_echo_value: The lowest value, where it looks like the code for no echo; None where nothing does.
        no_echo_fraction: Part of the gates that have it.
        tried: Codec -> bytes in the comparison that chose the codec; empty where there was no choice.
    """

    name: str
    codec: str
    mask_codec: str
    psnr: float
    psnr_peak: float
    psnr_target: float | None
    max_error: float
    max_error_bound: float | None
    lossless: bool
    step: float
    bits_per_value: float
    mask_bits_per_value: float
    valid_fraction: float
    csi: Mapping[str, float | None] = field(default_factory=dict)
    echo_created: int = 0
    echo_removed: int = 0
    rain_rate_bias: float | None = None
    roughness: float | None = None
    spread: float | None = None
    lost: float | None = None
    repaired: int = 0
    tried: Mapping[str, int] = field(default_factory=dict)
    strong_error: float | None = None
    strong_bound: float | None = None
    lowest: float | None = None
    highest: float | None = None
    beyond_fraction: float = 0.0
    fill_value: float | None = None
    fill_fraction: float = 0.0
    no_echo_value: float | None = None
    no_echo_fraction: float = 0.0


@dataclass(frozen=True)
class Compressed:
    """A written store and what was measured on it.

    Attributes:
        path: The store.
        variables: Name -> report.
        gates: Gate-values of all fields of all sweeps.
        bits_per_value: Of fields and masks, over all gate-values.
        mask_bits_per_value: Of the masks alone.
        total_bits_per_value: Of the whole store: metadata, coordinates and model included.
        mbps: Fields and masks, at `interval_s`.
        total_mbps: The whole store, at `interval_s`.
        interval_s: Seconds from one volume to the next.
        interval_from: ``volume`` where the volume's own times tell it, else ``assumed``.
        store_bytes: Of all files of the store.
        field_bytes: Of values and masks.
        metadata_bytes: Of ``zarr.json`` and the record.
        coordinate_bytes: Of everything else that came with the volume.
        model_bytes: Of models inside the store.
        raw_bytes: Of the fields as 16-bit words, the form radars send.
        ratio: raw_bytes / store_bytes.
        seconds: That it took, measuring included.
        sweeps: Number of sweeps.
        models: Codec -> SHA-256 of the model it used.
        previous: The store it was coded against, relative to this one; None where it stands alone.
    """

    path: str
    variables: Mapping[str, VariableReport]
    gates: int
    bits_per_value: float
    mask_bits_per_value: float
    total_bits_per_value: float
    mbps: float
    total_mbps: float
    interval_s: float
    interval_from: str
    store_bytes: int
    field_bytes: int
    metadata_bytes: int
    coordinate_bytes: int
    model_bytes: int
    raw_bytes: int
    ratio: float
    seconds: float
    sweeps: int
    models: Mapping[str, str] = field(default_factory=dict)
    previous: str | None = None

    def record(self) -> dict[str, Any]:
        """What the store keeps: what was promised and measured, not what its files tell by themselves."""
        keep = ("codec", "psnr", "psnr_peak", "psnr_target", "max_error", "max_error_bound", "lossless")
        strong = ("strong_error", "strong_bound")
        return {
            name: {k: getattr(v, k) for k in (*keep, *(strong if v.strong_bound is not None else ()))}
            for name, v in self.variables.items()
        }
