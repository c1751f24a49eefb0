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
_SUPPORT = ("support_known", "support_element", "support_scale", "support_held")


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
        # checkpoints of before have no stiff pairs, and do not say of which elements their surroundings are;
        # those cannot be used, and every answer says that support was not checked
        own = net.state_dict()
        if "support_element" not in known:
            known |= {name: own[name] for name in _SUPPORT}
        net.load_state_dict({"stiff": own["stiff"]} | known)
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
        ``support.p_value`` of descriptors with the atomic number as the last column is each atom's: an atom
        is compared to atoms of its own element.

    Raises:
        CheckpointError: when the network was never calibrated.
    """
    from sciai.trust.support import KnnOfKind, Support

    known, scale, held = (_array(getattr(net, f"support_{name}")) for name in ("known", "scale", "held"))
    elements = _array(net.support_element).astype(np.int64)
    here = np.isfinite(known).all(1) & (elements > 0)
    known, elements, held = known[here], elements[here], held[np.isfinite(held)]
    if not len(known) or not len(held) or not (scale > 0).all():
        raise CheckpointError("the potential was not calibrated: it has no support")
    return Support(KnnOfKind(known, elements, scale, 3), held, rate)


def closest_seen(net: Network) -> NDArray[np.float64]:
    """Shortest distance of each pair of elements in training, Å, [119, 119]; infinite if never seen."""
    return _array(net.closest)


def _array(value: Any) -> NDArray[np.float64]:
    return np.asarray(value.detach().cpu().double().numpy())
