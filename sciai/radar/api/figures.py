"""What `compress` answers with, put together from what was measured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sciai.radar.api.planes import PlaneReader
from sciai.radar.api.plans import Coded, Target, VariablePlan
from sciai.radar.api.report import Compressed, VariableReport
from sciai.radar.api.source import Source

__all__ = ["compressed", "variable_report", "with_record"]


def variable_report(
    var: str, target: Target, coded: Coded, plan: VariablePlan, trial: Coded | None
) -> VariableReport:
    """What became of one variable.

    Args:
        var: its name.
        target: what was promised (a plan may aim higher).
        coded: what was measured.
        plan: how it was coded.
        trial: sizes by codec, where codecs were compared.
    """
    tally, ends = coded.tally, coded.ends
    gates = max(1, tally.gates)
    fill, filled = ends.fill() or (None, 0)
    silence, silent = ends.no_echo(gates) or (None, 0)
    return VariableReport(
        name=var,
        codec="+".join(sorted(coded.codecs, key=lambda c: -coded.codecs[c])),
        mask_codec="+".join(sorted(coded.mask_codecs, key=lambda c: -coded.mask_codecs[c])),
        psnr=tally.psnr(plan.peak),
        psnr_peak=plan.peak,
        psnr_target=None if target.lossless else target.psnr,
        max_error=tally.max_error,
        max_error_bound=0.0 if target.lossless else target.max_error,
        lossless=tally.exact,
        step=max(coded.steps, default=0.0),
        bits_per_value=8 * coded.value_bytes / gates,
        mask_bits_per_value=8 * coded.mask_bytes / gates,
        valid_fraction=tally.valid / gates,
        csi={f"{t:g}": v for t, v in tally.csi().items()},
        echo_created=tally.created,
        echo_removed=tally.removed,
        rain_rate_bias=tally.rain_bias(),
        roughness=tally.roughness(),
        spread=tally.spread(),
        lost=tally.lost(),
        repaired=coded.repaired,
        tried=dict(trial.tried) if trial else {},
        strong_error=tally.strong,
        strong_bound=target.strong,
        lowest=ends.low.value if ends.valid else None,
        highest=-ends.high.value if ends.valid else None,
        beyond_fraction=ends.beyond / gates,
        fill_value=fill,
        fill_fraction=filled / gates,
        no_echo_value=silence,
        no_echo_fraction=silent / gates,
    )


def compressed(
    source: Source,
    path: Path,
    previous: PlaneReader | None,
    variables: Mapping[str, VariableReport],
    coded: Mapping[str, Coded],
    sizes: tuple[int, int, int],
    models: Mapping[str, str],
) -> Compressed:
    """The figures of a store that was just written, but for its record and the time it took.

    Args:
        source: the volume.
        path: the store.
        previous: reader of the previous volume's store, if any.
        variables: what became of each.
        coded: the same, as measured.
        sizes: bytes of the metadata, the coordinates and the models inside.
        models: codec -> hash of the model it was written with.
    """
    metadata, coordinates, inside = sizes
    gates = source.gates
    masks = sum(c.mask_bytes for c in coded.values())
    fields = masks + sum(c.value_bytes for c in coded.values())
    total = fields + metadata + coordinates + inside
    interval, known = source.interval()
    return Compressed(
        path=str(path),
        variables=variables,
        gates=gates,
        bits_per_value=8 * fields / gates,
        mask_bits_per_value=8 * masks / gates,
        total_bits_per_value=8 * total / gates,
        mbps=8e-6 * fields / interval,
        total_mbps=8e-6 * total / interval,
        interval_s=interval,
        interval_from="volume" if known else "assumed",
        store_bytes=total,
        field_bytes=fields,
        metadata_bytes=metadata,
        coordinate_bytes=coordinates,
        model_bytes=inside,
        raw_bytes=2 * gates,
        ratio=2 * gates / total,
        seconds=0.0,
        sweeps=len(source.sweeps),
        models=dict(models),
        previous=None
        if previous is None or previous.root is None
        else os.path.relpath(previous.root, path.resolve().parent / path.name),
    )


def with_record(value: Compressed, record: int, seconds: float) -> Compressed:
    """The same with the bytes of the record and the seconds counted."""
    total = value.store_bytes + record
    return replace(
        value,
        metadata_bytes=value.metadata_bytes + record,
        store_bytes=total,
        total_bits_per_value=8 * total / value.gates,
        total_mbps=8e-6 * total / value.interval_s,
        ratio=value.raw_bytes / total,
        seconds=seconds,
    )
