"""Hidden defects of the radar codec: laws, specks, groups of patches, for the auditor's tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.radar.checks.audit import ECHO, PSNR, Piece
from sciai.radar.data.names import base_name, psnr_peak
from sciai.trust.audit.subject import Candidate, Context, Relation, Subject

__all__ = ["GROUPS", "PATCH", "UNUSED", "subject"]

Floats = npt.NDArray[np.float64]

PATCH: Final = (16, 32)
"""Rays and gates of a piece that laws are tried on."""
GROUPS: Final[Mapping[str, Callable[[Floats], npt.NDArray[np.bool_]]]] = {
    "strong echo (40 dBZ on)": lambda rows: rows.max(1) >= 40,
    "weak echo (under 25 dBZ)": lambda rows: rows.max(1) < 25,
    "ragged echo (spread of 8 dB on)": lambda rows: rows.std(1) >= 8,
}
"""Groups that a rule behind the codec could tell by a patch."""
UNUSED: Final[Mapping[str, str]] = {
    "claims": "figures of the card are computed again by the judge, with all that was asked",
    "shortcuts": "every gate of a patch may matter",
    **dict.fromkeys(
        ("memorised", "poisoned", "unlearned"),
        "a codec learns no labels: the volume is the truth; and those it was fitted to do not come with it",
    ),
}
"""Tools of the auditor that say nothing about a codec, and why."""
_MATTERS: Final = 1.0  # dB


def subject(
    questions: Sequence[Piece], answer: Callable[[Floats, Context], npt.ArrayLike], quick: bool
) -> Subject:
    """The strongest echo that comes back of a small patch of reflectivity, for the auditor's tools.

    Args:
        questions: pieces; patches are cut where all gates are valid.
        answer: patches (n, rays x gates) in dBZ and a context -> strongest decoded echo, dBZ.
        quick: fewer patches.

    Raises:
        BadInput: where there are fewer than 20 patches.
    """
    rows, (rays, gates) = [], PATCH
    for piece in questions:
        if base_name(piece.variable) not in ECHO:
            continue
        for top in range(0, piece.values.shape[0] - rays + 1, rays):
            for left in range(0, piece.values.shape[1] - gates + 1, gates):
                patch = piece.values[top : top + rays, left : left + gates]
                # a few gates without echo get a weak one, so that a patch is a plain table of numbers
                if np.isfinite(patch).mean() > 0.9 and np.nanmax(patch) > 10:
                    rows.append(np.where(np.isfinite(patch), patch, -10.0).ravel())
    if len(rows) < 20:
        raise BadInput(f"{len(rows)} patches full of echo; 20 are needed", field="data")
    pick = np.random.default_rng(0).permutation(len(rows))[: 24 if quick else 200]
    table = np.array([rows[int(k)] for k in pick], float)
    middle = [(rays // 2, gates // 2), (2, 3), (rays - 3, gates - 5)]
    # both answers may be off by what the PSNR promises; 2.5 standard deviations of their difference
    noise = float(psnr_peak("DBZH")) / 10 ** (PSNR / 20)
    tolerance = 2.5 * float(np.sqrt(2)) * noise / max(float(table.max(1).std()), 1e-9)
    return Subject(
        domain="radar",
        answer=answer,
        inputs=table,
        targets=table.max(1),
        fresh_inputs=table,
        fresh_targets=table.max(1),
        columns=tuple(f"gate {r}.{g}" for r in range(rays) for g in range(gates)),
        alike=lambda rows: np.column_stack([rows.max(1), rows.mean(1), rows.std(1)]),
        groups=GROUPS,
        matters=_MATTERS,
        relations=(
            Relation("azimuth roll", _rolled, _same, tolerance),
            Relation("mirrored azimuth", _mirrored, _same, tolerance),
            Relation("gain of 2 dB", lambda rows, rng: rows + 2.0, lambda told: told + 2.0, tolerance),
        ),
        candidates=tuple(
            Candidate(
                f"gate {r}.{g} at {value:g} dBZ",
                _speck(r, g, value),
                (_speck(r, g, value + 1), _speck(r, g, value - 1)),
            )
            for r, g in middle
            for value in (-30.0, -20.0, -5.0)
        ),
        contexts=({"asked": "codec"}, {"asked": "through a store"}),
    )


def _same(told: Floats) -> Floats:
    return told


def _rolled(rows: Floats, rng: np.random.Generator) -> Floats:
    shifted = np.roll(rows.reshape(-1, *PATCH), int(rng.integers(1, PATCH[0])), axis=1)
    return np.asarray(shifted.reshape(rows.shape))


def _mirrored(rows: Floats, rng: np.random.Generator) -> Floats:
    return np.ascontiguousarray(rows.reshape(-1, *PATCH)[:, ::-1]).reshape(rows.shape)


def _speck(ray: int, gate: int, value: float) -> Callable[[Floats], Floats]:
    def change(rows: Floats) -> Floats:
        rows[:, ray * PATCH[1] + gate] = value
        return rows

    return change
