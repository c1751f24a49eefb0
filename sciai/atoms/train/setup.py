"""Networks to train: fresh, or going on from a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch

from sciai.atoms.model.network import Network
from sciai.atoms.train.grow import grown
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput
from sciai.core.resources import checkpoint_named

__all__ = ["network"]

log = logging.getLogger(__name__)


def network(start: str | None = None, sources: Mapping[str, int] | None = None, **options: Any) -> Network:
    """A network to train.

    Args:
        start: checkpoint whose weights to go on from, a folder or the name of a shipped one; None starts
            fresh. A network with more interactions or wider updates begins as the checkpoint's (see
            ``grown``); other weights whose shape differs stay fresh.
        sources: data source -> level of theory; the first is what predictions answer at. Sources that the
            checkpoint does not know get energy offsets of their own.
        options: see ``Network``.

    Raises:
        BadInput: the checkpoint's network is of another width, or no potential.
    """
    net = Network(sources=sources, **{key: _plain(value) for key, value in options.items()})
    if start is not None:
        _take(net, Checkpoint.load(checkpoint_named(start)), options.get("answers"))
    return net


def _plain(value: Any) -> Any:
    from omegaconf import ListConfig, OmegaConf

    return OmegaConf.to_container(value) if isinstance(value, ListConfig) else value


def _take(net: Network, saved: Checkpoint, fresh_source: str | None) -> None:
    """Weights of a checkpoint; a user's source gets new offsets, as the same name may be another level."""
    own = net.state_dict()
    if "level.weight" not in saved.arrays:
        raise BadInput(
            f"the checkpoint to start from is of {saved.card.domain}, and no potential of this kind",
            field="domain.net.start", fix="give the folder of one that `sciai train atoms` wrote, or atoms",
        )  # fmt: skip
    told, width = saved.card.config.get("domain", {}).get("net", {}), own["level.weight"].shape[1]
    if (theirs := saved.arrays["level.weight"].shape[1]) != width:
        names = ("channels", "lmax", "carried", "triples")
        like = " ".join(f"domain.net.{name}={told[name]}" for name in names if name in told)
        raise BadInput(
            f"the network to start from has {theirs} channels, this one {width}",
            field="domain.net.start", fix=f"train one like it: {like}",
        )  # fmt: skip
    arrays = {name: torch.as_tensor(array) for name, array in saved.arrays.items()}
    larger = grown(arrays, own)
    for name, value in larger.items():
        own[name].copy_(value)
    known = tuple(saved.card.config.get("domain", {}).get("net", {}).get("sources") or {"pbe": 0})
    fresh = []
    for name, value in arrays.items():
        if name in larger:
            continue
        if name == "offsets":
            for row, source in enumerate(known):
                if source in net.sources and source != fresh_source:
                    own[name][net.names.index(source)] = value[row]
        elif name == "level.weight":
            rows = min(len(value), len(own[name]))
            own[name][:rows] = value[:rows]
            own[name][rows:] = value[0]  # another level of theory begins as what predictions answered at
        elif name in own and own[name].shape == value.shape:
            own[name].copy_(value)
        else:
            fresh.append(name)
    net.load_state_dict(own)
    if fresh:
        log.warning("not taken from the checkpoint, because they have no place here: %s", ", ".join(fresh))
