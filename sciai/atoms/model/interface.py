"""What the rest of the atoms domain knows of a network: what it is asked, and what it answers.

``load_net(checkpoint)`` gives the network, ``predict(net, graph)`` asks it. Units: Å, eV, eV/Å, eV/Å^3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from sciai.atoms.data.graph import Graph
    from sciai.core.checkpoint import Checkpoint

__all__ = ["PotentialNet", "Prediction", "load_net", "predict"]


@dataclass
class Prediction:
    """Answers for g structures with n atoms; nothing here carries gradients.

    Attributes:
        energy: eV, [g], double precision; PBE totals as the Materials Project computes them. Of the shipped
            network those with a Hubbard U are on the zero of those without (``sciai.atoms.data.levels``).
        energies: eV, [n]; they sum to ``energy``.
        forces: eV/Å, [n, 3]: exactly -dE/dx. None where they were not asked for.
        stress: eV/Å^3, [g, 3, 3], symmetric: dE/d(strain) / volume, ASE's sign. None where not asked for; NaN
            for a structure whose cell has no volume.
        energy_sd: predicted standard deviation of the energy, eV, [g], before any calibration.
        force_sd: predicted standard deviation of each force component, eV/Å, [n], before any calibration.
        descriptor: what the network sees around each atom, [n, d]; for distances to what was learned.
        heads: energy by each head of the readout, eV, [g, heads], without the elements' energies; None where
            there is only one.
    """

    energy: Tensor
    energies: Tensor
    forces: Tensor | None
    stress: Tensor | None
    energy_sd: Tensor
    force_sd: Tensor
    descriptor: Tensor
    heads: Tensor | None = None


@runtime_checkable
class PotentialNet(Protocol):
    """A network that can be asked.

    Attributes:
        cutoff: Å; pairs of a graph up to here count, pairs beyond it count for nothing.
    """

    cutoff: float

    def predict(self, graph: Graph, *, forces: bool = True, stress: bool = True) -> Prediction:
        """Answers for every structure of a graph."""
        ...


def predict(net: PotentialNet, graph: Graph, *, forces: bool = True, stress: bool = True) -> Prediction:
    """Ask a network.

    Args:
        net: the network.
        graph: structures with their pairs up to the network's cutoff at least.
        forces: whether forces are wanted.
        stress: whether stress is wanted.
    """
    return net.predict(graph, forces=forces, stress=stress)


def load_net(checkpoint: Checkpoint) -> PotentialNet:
    """The network of a checkpoint, ready to be asked.

    Args:
        checkpoint: as ``Checkpoint.load`` gives it.

    Raises:
        CheckpointError: when arrays and config do not fit together.
    """
    from sciai.atoms.model.potential import restore

    return restore(checkpoint)
