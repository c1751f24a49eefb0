"""Larger networks that begin as the smaller one they go on from (Chen, Goodfellow & Shlens 2016, Net2Net,
arXiv:1511.05641): what is new adds nothing until training makes it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["grown"]


def grown(saved: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a smaller network where a larger one has its own, so that both answer alike.

    More interactions: the new ones look at their neighbours as the smaller one's last does, but change no
    features yet, and the readout sees the smaller one's last features after all of them. Wider updates: what
    is new goes in at random and comes out as zero.

    Args:
        saved: weights of the smaller network.
        own: fresh weights of the larger one.

    Returns:
        Those of ``saved`` that had to change, or are missing there; what is left out is as it is in one of
        both.

    >>> narrow = {"interactions.0.update.2.weight": torch.ones(1, 2)}
    >>> wide = {"interactions.0.update.2.weight": torch.randn(1, 3)}
    >>> grown(narrow, wide)["interactions.0.update.2.weight"].tolist()
    [[1.0, 1.0, 0.0]]
    """
    before, after = _interactions(saved), _interactions(own)
    out = {}
    for name, mine in own.items():
        goes_out = name.endswith("update.2.weight")
        if name.startswith("interactions.") and name not in saved:
            out[name] = _another(name, mine, saved, before)
        elif ".update." in name and _wider(mine, saved[name], int(goes_out)):
            out[name] = torch.zeros_like(mine) if goes_out else mine.clone()
            out[name][tuple(slice(n) for n in saved[name].shape)] = saved[name]
        elif name == "readout.0.weight" and after > before and len(mine) == len(saved[name]):
            last = mine.shape[1] // after
            out[name] = torch.zeros_like(mine)
            out[name][:, : (before - 1) * last] = saved[name][:, :-last]
            out[name][:, -last:] = saved[name][:, -last:]
    return out


def _another(name: str, mine: Tensor, saved: Mapping[str, Tensor], before: int) -> Tensor:
    """Weights of an interaction that the smaller network lacks: as its last, but changing nothing."""
    _, _, what = name.split(".", 2)
    if what.startswith("update.2"):
        return torch.zeros_like(mine)
    for place in reversed(range(before)):
        theirs = saved.get(f"interactions.{place}.{what}")
        if theirs is not None and all(m <= t for m, t in zip(mine.shape, theirs.shape, strict=True)):
            return theirs[tuple(slice(n) for n in mine.shape)].clone()
    return mine


def _wider(mine: Tensor, theirs: Tensor, along: int) -> bool:
    """Whether one is as the other, but longer along one axis."""
    sizes = list(theirs.shape)
    sizes[along] = mine.shape[along]
    return list(mine.shape) == sizes and mine.shape[along] > theirs.shape[along]


def _interactions(weights: Mapping[str, Tensor]) -> int:
    """How many interactions there are weights of."""
    return len({name.split(".")[1] for name in weights if name.startswith("interactions.")})
