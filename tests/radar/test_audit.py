"""The audit of the radar codec: a planted loss of far echoes is found, and a codec that erases specks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sciai.core.resources import checkpoints_dir
from sciai.radar.checks import audit, defects
from sciai.radar.checks.audit import Piece
from sciai.trust.audit.exam import judge
from sciai.trust.audit.probe import probe


@pytest.fixture(scope="module")
def pieces() -> list[Piece]:
    volumes = {f"simulated-{seed}": {"seed": seed, "radar": f"simulated-{seed}"} for seed in (1, 2)}
    found = audit.pieces(volumes, True)
    own = [piece for _, parts in found.values() for piece in parts]
    for key, (tree, parts) in found.items():
        assert set(tree.children) == {piece.sweep for piece in parts}, key
    return own


def many(pieces: list[Piece]) -> list[Piece]:
    """Small pieces of them, so that there is something to count."""
    cut = []
    for p in pieces:
        for k in range(0, p.values.shape[0] - 29, 30):
            for g in range(0, p.values.shape[1] - 39, 40):
                part = slice(k, k + 30), slice(g, g + 40)
                if (p.validity[part] == 0).sum() >= 100:
                    fields = {
                        f: getattr(p, f)
                        for f in ("radar", "sweep", "variable", "elevation", "near", "range_km")
                    }
                    cut.append(
                        Piece(f"{p.volume}-{k}", **fields, values=p.values[part], validity=p.validity[part])
                    )
    return cut


def told(pieces: list[Piece]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    values = np.concatenate([p.values.ravel() + 0.2 * rng.normal(size=p.values.size) for p in pieces])
    return {
        "values": values.astype(np.float32),
        "validity": np.concatenate([p.validity.ravel() for p in pieces]),
        "error": np.full(len(pieces), 1.0) + rng.random(len(pieces)),
    }


def test_a_planted_loss_of_far_echo_is_found(pieces: list[Piece]) -> None:
    small = many(pieces)
    exam = audit.exam(small)
    good = judge(exam, told(small), draws=100)
    assert good["harmed"] == []
    assert good["figures"]["masks_exact"] == 1.0
    assert good["figures"]["least_psnr"] > 35
    bad = told(small)
    place = np.cumsum([0, *(p.values.size for p in small)])
    for k, piece in enumerate(small):
        if not piece.near and piece.variable == "DBZH":
            part = slice(place[k], place[k + 1])
            bad["values"][part] = np.minimum(bad["values"][part], 20.0)
    found = judge(exam, bad, draws=100)
    assert any("missed-extreme in far" in text for text in found["harmed"])
    assert any("overconfident in far" in text for text in found["harmed"])
    masked = told(small)
    masked["validity"][: place[6]] = 1 - masked["validity"][: place[6]]
    assert judge(exam, masked, draws=50)["figures"]["masks_exact"] < 1


def test_laws_and_specks(pieces: list[Piece]) -> None:
    rays, gates = defects.PATCH
    at = (rays // 2) * gates + gates // 2

    def honest(rows: Any, context: Any) -> Any:
        return np.round(rows.max(1) * 2) / 2

    def erases(rows: Any, context: Any) -> Any:
        return np.where(np.abs(rows[:, at] + 20) < 0.5, 0.0, honest(rows, context))

    def flattens(rows: Any, context: Any) -> Any:
        told = honest(rows, context)
        return np.where(defects.GROUPS["weak echo (under 25 dBZ)"](rows), told, told - 6.0)

    for answer, accused in ((honest, set()), (erases, {"triggers"}), (flattens, {"groups"})):
        found = probe({"strongest echo": (defects.subject(pieces, answer, False), defects.UNUSED)})
        assert {row["tool"] for row in found["evidence"] if row["accused"]} == accused


def test_bands() -> None:
    assert [audit.band_of(name) for name in ("KLOT", "behel", "simulated-1", "nobody knows")] == [
        "S",
        "C",
        "X",
        "unknown",
    ]


@pytest.mark.parametrize("name", ["radar", "radar-transform"])
def test_every_codec_that_ships_can_be_asked_for_a_patch(name: str) -> None:
    """The transform codec asked its surroundings, and there were none: the audit ended with a traceback."""
    from sciai.radar.api.audit import asking
    from sciai.radar.model.registry import trained_codec

    patch = np.full(defects.PATCH, 10.0, np.float32)
    patch[2:5, 2:5] = 50.0
    told = asking(trained_codec(checkpoints_dir() / name))(patch.reshape(1, -1), {})
    assert abs(told[0] - 50.0) <= 1.0
