"""What training minimises: energies per atom, forces, stress, and honest spreads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sciai.atoms.train.data import Batch

__all__ = ["Loss", "metrics"]


class Loss:
    """Weighted mean absolute errors, and likelihoods of the spreads.

    Forces count by the length of their error, so that the loss does not depend on the orientation. Energies
    are per atom, after the elements' offsets.

    Args:
        energy: weight of the energy, per eV/atom.
        forces: weight of forces, per eV/Å.
        stress: weight of the stress, per eV/Å^3.
        spread: weight of the likelihood of the heads' spread (energy) and of the predicted force error.
    """

    def __init__(self, energy: float = 2.0, forces: float = 1.0, stress: float = 20.0, spread: float = 0.02):
        self.energy, self.forces, self.stress, self.spread = energy, forces, stress, spread

    def __call__(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The loss and its parts; ``net`` is a ``Network``."""
        take_offsets(net, batch)
        graph = batch.graph
        learn = torch.is_grad_enabled() and any(p.requires_grad for p in net.parameters())
        out: Any = net(graph, learn=learn)
        size = torch.bincount(graph.batch, minlength=graph.n_graphs).to(out.energies.dtype)
        target = ((batch.energy - out.offset) / size).to(out.energies.dtype)
        heads = out.heads / size[:, None]
        known = torch.isfinite(target)
        error_e = torch.where(known, heads.mean(1) - target.nan_to_num(), 0.0)
        w = batch.weight
        e = (w * error_e.abs()).sum() / (w * known).sum().clamp(min=1e-9)
        have = torch.isfinite(batch.forces).all(1)
        wrong = torch.where(have[:, None], out.forces - batch.forces.nan_to_num(), 0.0)
        length = (wrong.square().sum(1) + 1e-8).sqrt()
        wa = w[graph.batch] * have
        f = (wa * length).sum() / wa.sum().clamp(min=1e-9)
        volume = torch.linalg.det(graph.cells).abs().to(out.energies.dtype)
        with_stress = torch.isfinite(batch.stress).flatten(1).all(1) & (volume > 1e-6)
        stress = out.virial / volume.clamp(min=1e-6)[:, None, None]
        off = torch.where(with_stress[:, None, None], stress - batch.stress.nan_to_num(), 0.0)
        ws = w * with_stress
        s = (ws * (off.square().sum((1, 2)) + 1e-12).sqrt()).sum() / ws.sum().clamp(min=1e-9)
        # the spread of the heads around their (frozen) mean; and the size of a force component's error
        center = heads.detach().mean(1, keepdim=True)
        variance = (heads - center).square().sum(1) / max(1, heads.shape[1] - 1) + 1e-6
        nll_e = (
            0.5 * (error_e.detach().square() / variance + variance.log()) * known
        ).sum() / known.sum().clamp(min=1)
        scale = out.force_sd
        nll_f = ((wrong.detach().abs().mean(1) / scale + scale.log()) * have).sum() / have.sum().clamp(min=1)
        loss = self.energy * e + self.forces * f + self.stress * s + self.spread * (nll_e + nll_f)
        return {
            "loss": loss,
            "e": e,
            "f": f,
            "s": s,
            "nll_e": nll_e,
            "nll_f": nll_f,
            "n": torch.tensor(float(graph.n_graphs)),
        }


def take_offsets(net: nn.Module, batch: Batch) -> None:
    """Give a network the elements' energies that the training part has, for sources it has none for.

    Only the data module knows the training part, so offsets travel with the batches. Sources of one zero have
    one row there. A network that goes on from a checkpoint keeps the rows that it has: a source that is new
    beside them gets theirs, not the one that these structures would give, or its zero would be another.
    """
    offsets: Any = net.offsets
    known = offsets.any(1).tolist()
    if all(known):
        return
    given, of = batch.offsets.to(offsets.device), getattr(net, "answers", 0)
    level: Any = net.levels
    for row in (k for k, has in enumerate(known) if not has):
        kin = [
            k
            for k, has in enumerate(known)
            if has and level[k] == level[row] and torch.equal(given[k], given[row])
        ]
        # calibration moved the zero of the source that is answered at
        home = next((k for k in kin if k != of), kin[0] if kin else None)
        offsets[row] = given[row] if home is None else offsets[home]


def metrics(net: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Mean absolute errors: energy per atom (eV), force component (eV/Å), stress component (eV/Å^3)."""
    take_offsets(net, batch)
    graph = batch.graph
    out: Any = net(graph)
    size = torch.bincount(graph.batch, minlength=graph.n_graphs)
    energy = ((out.heads.detach().mean(1).double() + out.offset - batch.energy) / size).abs()
    forces = (out.forces.detach() - batch.forces).abs()
    return {
        "energy_mae": energy.nanmean().nan_to_num(),
        "force_mae": forces.nanmean().nan_to_num(),
        "force_mean": batch.forces.abs().nanmean().nan_to_num(),
        "n": torch.tensor(float(graph.n_graphs)),
    }
