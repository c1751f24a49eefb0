"""A network and what belongs to it, from a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from sciai.atoms.model.network import Network
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import CheckpointError

if TYPE_CHECKING:
    from sciai.trust.support import Support

__all__ = ["closest_seen", "restore", "support"]

_NOT_OPTIONS = ("_target_", "start")


def restore(checkpoint: Checkpoint) -> Network:
    """The network, in single precision, its weights fixed.

    Args:
        checkpoint: as ``Checkpoint.load`` gives it.

    Raises:
        CheckpointError: when it is no potential, or arrays and config do not fit.
    """
    options = dict(checkpoint.card.config.get("domain", {}).get("net") or {})
    if checkpoint.card.domain != "atoms" or not options:
        raise CheckpointError(
            f"{checkpoint.card.name!r} is no potential: its domain is {checkpoint.card.domain!r}"
        )
    try:
        net = Network(**{key: value for key, value in options.items() if key not in _NOT_OPTIONS})
        known = {name: torch.as_tensor(np.array(array)) for name, array in checkpoint.arrays.items()}
        # checkpoints of before have no pairs that are stiffer than what was seen
        net.load_state_dict({"stiff": torch.zeros_like(net.stiff)} | known)
    except (TypeError, RuntimeError) as error:
        raise CheckpointError(f"arrays and config of {checkpoint.card.name!r} do not fit: {error}") from error
    net.keep_to_seen()
    return net.requires_grad_(False).eval()


def support(net: Network, rate: float = 0.01) -> Support:
    """How far an atom's surroundings may lie from those that were learned.

    Args:
        net: a calibrated network.
        rate: share of atoms of known kinds that may raise a false alarm.

    Returns:
        ``support.p_value(prediction.descriptor)`` is each atom's.

    Raises:
        CheckpointError: when the network was never calibrated.
    """
    from sciai.trust.support import Knn, Support

    known, scale, held = (_array(getattr(net, f"support_{name}")) for name in ("known", "scale", "held"))
    known, held = known[np.isfinite(known).all(1)], held[np.isfinite(held)]
    if not len(known) or not len(held) or not (scale > 0).all():
        raise CheckpointError("the potential was not calibrated: it has no support")
    return Support(Knn(known, scale, 3), held, rate)


def closest_seen(net: Network) -> NDArray[np.float64]:
    """Shortest distance of each pair of elements in training, Å, [119, 119]; infinite if never seen."""
    return _array(net.closest)


def _array(value: Any) -> NDArray[np.float64]:
    return np.asarray(value.detach().cpu().double().numpy())
