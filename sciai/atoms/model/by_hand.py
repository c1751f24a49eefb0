"""Energy, forces and virial on a CPU with the derivative written out: what answers come from.

The same sums as ``Network.forward``, which training differentiates: there each of some 1,500 small operations
costs microseconds, twice, and arrays of (pairs x functions) are written and read again. Here a pair is passed
over once forward and once back, and the rest are matrix products. Tests hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from sciai.atoms.data.graph import Graph
    from sciai.atoms.model.network import Interaction, Network

__all__ = ["HIGHEST", "Derived", "derived"]

HIGHEST = 2
"""Levels beyond this are left to ``Network.forward``."""

Array = NDArray[Any]


@dataclass
class Derived:
    """What a pass gives; nothing carries gradients.

    Attributes:
        atoms: energy of every atom by every head, eV, [n, heads], without the elements' offsets.
        hidden: last features [n, channels].
        forces: eV/Å, float64 [n, 3]; None where no derivative was asked for.
        virial: dE/d(strain), eV, float64 [g, 3, 3], not yet symmetric; None likewise.
    """

    atoms: Tensor
    hidden: Tensor
    forces: Tensor | None = None
    virial: Tensor | None = None


@dataclass
class _Geometry:
    vectors: Array
    centre: Array
    neighbour: Array
    ptr: Array
    waves: Array
    y: Array
    repulsion: Array


@dataclass
class _Step:
    """What an interaction leaves behind for the way back."""

    phi: Array
    taken: Array
    a: Array
    receive: Array
    slope: Tensor | None
    size: Array
    bound: Tensor
    b: Tensor
    before: Tensor
    gates: Array | None


def derived(net: Network, graph: Graph, derivative: bool = True) -> Derived:
    """Energies of atoms, and where asked forces and virials.

    Args:
        net: on the CPU, levels up to ``HIGHEST``.
        graph: structures with pairs up to the cutoff at least.
        derivative: whether forces and virial are wanted.
    """
    with torch.no_grad():
        around = _geometry(net, graph)
        table = net.embedding.weight + net.family(net.shells.to(net.dtype))
        hidden = table[graph.numbers] + net.level(net.levels[graph.source])[graph.batch]
        handed, steps, stages = np.empty((0, 0, hidden.shape[1]), around.waves.dtype), [], []
        for interaction in net.interactions:
            hidden, handed, step = _forward(interaction, hidden, handed, around)  # type: ignore[arg-type]
            steps.append(step)
            stages.append(hidden)
        first, last = _ends(net.readout)
        before = first(torch.cat(stages, 1))
        atoms = last(torch.nn.functional.silu(before))
        out = Derived(atoms + torch.from_numpy(around.repulsion).to(atoms)[:, None], hidden)
        if derivative:
            mean = last.weight.mean(0).expand_as(before)
            slope = torch.ops.aten.silu_backward(mean, before) @ first.weight
            out.forces, out.virial = _back(net, graph, around, steps, slope.chunk(len(stages), 1))
    return out


def _kernels() -> tuple[Any, Any]:
    """The compiled steps over pairs and over atoms; loaded at first use, as compiling takes seconds."""
    from sciai.atoms.model import by_hand_kernels, by_hand_pairs

    return by_hand_pairs, by_hand_kernels


def _geometry(net: Network, graph: Graph) -> _Geometry:
    pairs, _ = _kernels()
    n, e = len(graph), graph.edges.shape[1]
    kind = np.float64 if net.dtype == torch.float64 else np.float32
    found = _Geometry(
        np.empty((e, 3)),
        np.empty(e, np.int64),
        np.empty(e, np.int64),
        np.zeros(n + 1, np.int64),
        np.empty((e, net.n_radial), kind),
        np.empty((e, (net.lmax + 1) ** 2), kind),
        np.zeros(n),
    )
    count = pairs.surroundings(
        *(x.contiguous().numpy() for x in (graph.positions, graph.shifts, graph.edges, graph.numbers)),
        *_tables(net),
        *(found.vectors, found.centre, found.neighbour, found.ptr, found.waves, found.y, found.repulsion),
    )
    for name in ("vectors", "centre", "neighbour", "waves", "y"):
        setattr(found, name, getattr(found, name)[:count])
    return found


def _tables(net: Network) -> tuple[Any, ...]:
    """Reach, touching distance and bend of each pair of elements, the lowest frequency (pi, in the precision
    that the network has it in), and the nuclear repulsion's constants."""
    from sciai.atoms.model.network import COULOMB, ZBL

    lowest = float(net.frequencies[0])
    return net.reach.double().numpy(), net.touch.numpy(), net.bend.numpy(), lowest, COULOMB, np.array(ZBL)


def _forward(layer: Interaction, h: Tensor, handed: Array, around: _Geometry) -> tuple[Tensor, Array, _Step]:
    """New features, tensors to hand on, and what the way back needs."""
    pairs, kernels = _kernels()
    couplings, (n, channels) = layer.couplings, h.shape
    parts = (couplings.lmax + 1) ** 2
    weighed, slope = layer.weighed(h)
    phi, receive = layer.send(h).numpy(), weighed.numpy()
    a = np.empty((n, parts, channels), phi.dtype)
    filters, carried = _filters(layer)
    pairs.gather(around.waves, filters, phi, around.y, carried, handed, around.ptr, around.neighbour, a)
    bound, b = h.new_empty(parts, n, channels), h.new_empty(parts, n, channels)
    size = np.empty(n, phi.dtype)
    kernels.bounded(a, receive, _scale(layer, channels, phi.dtype), size, bound.numpy())
    for level, rows in enumerate(_levels(couplings.lmax)):
        torch.mm(bound[rows].flatten(0, 1), layer.mix[level], out=b[rows].flatten(0, 1))
    q = np.empty((n, couplings.outputs, channels), phi.dtype)
    kernels.invariants(bound.numpy(), b.numpy(), *couplings.typed[h.dtype], q)
    before = layer.update[0](torch.cat([h, torch.from_numpy(q).flatten(1)], 1))
    h = h + layer.update[2](torch.nn.functional.silu(before))
    step = _Step(phi, handed, a, receive, slope, size, bound, b, before, None)
    if not layer.gives:
        return h, handed, step
    step.gates = layer.gate(h).numpy()
    given = np.empty((n, (layer.gives + 1) ** 2 - 1, channels), phi.dtype)
    kernels.gated(b.numpy(), step.gates, given)
    return h, given, step


def _back(
    net: Network, graph: Graph, around: _Geometry, steps: list[_Step], slopes: Any
) -> tuple[Tensor, Tensor]:
    """Forces and virial from the energy's derivative by each interaction's features."""
    pairs, _ = _kernels()
    dwaves, dy = np.zeros_like(around.waves), np.zeros_like(around.y)
    dh, given = torch.zeros_like(slopes[0]), None
    for k in reversed(range(len(steps))):
        layer: Any = net.interactions[k]
        dh, given = _step_back(layer, steps[k], dh + slopes[k], given, around, dwaves, dy, k == 0)
    forces, virial = np.zeros((len(graph), 3)), np.zeros((graph.n_graphs, 3, 3))
    pairs.surroundings_back(
        *(around.vectors, around.centre, around.neighbour, graph.numbers.contiguous().numpy()),
        *_tables(net),
        *(dwaves, dy, graph.batch.contiguous().numpy(), forces, virial),
    )
    return torch.from_numpy(forces), torch.from_numpy(virial)


def _step_back(
    layer: Interaction,
    step: _Step,
    dh: Tensor,
    given: Array | None,
    around: _Geometry,
    dwaves: Array,
    dy: Array,
    first: bool,
) -> tuple[Tensor, Array]:
    """Derivatives by the features and tensors an interaction took; pairs' are added to ``dwaves``, ``dy``."""
    pairs, kernels = _kernels()
    couplings, channels = layer.couplings, dh.shape[1]
    db = torch.zeros_like(step.b)
    if step.gates is not None and given is not None:
        dgates = np.empty_like(step.gates)
        kernels.gated_back(step.b.numpy(), step.gates, given, db.numpy(), dgates)
        dh = torch.addmm(dh, torch.from_numpy(dgates), layer.gate.weight)
    inner, outer = _ends(layer.update)
    # what atoms are does not change as they move: of the first features no derivative is asked for
    wanted = inner.weight[:, channels:] if first else inner.weight
    dx = torch.ops.aten.silu_backward(dh @ outer.weight, step.before) @ wanted
    dq = (dx if first else dx[:, channels:]).reshape(len(dx), -1, channels)
    bound = torch.empty_like(step.bound)
    tables = couplings.typed[dh.dtype]
    kernels.invariants_back(
        step.bound.numpy(), step.b.numpy(), dq.contiguous().numpy(), *tables, bound.numpy(), db.numpy()
    )
    for level, rows in enumerate(_levels(couplings.lmax)):
        bound[rows].flatten(0, 1).addmm_(db[rows].flatten(0, 1), layer.mix[level].t())
    da, dreceive = np.empty_like(step.a), np.empty_like(step.receive)
    kernels.bounded_back(
        step.a,
        step.receive,
        _scale(layer, channels, step.a.dtype),
        step.size,
        bound.numpy(),
        da,
        dreceive,
    )
    dphi = np.zeros((0 if first else len(step.phi), channels), step.phi.dtype)
    taken = np.zeros_like(step.taken)
    filters, carried = _filters(layer)
    pairs.gather_back(
        *(around.waves, filters, step.phi, around.y, carried, step.taken, da),
        *(around.ptr, around.neighbour, dwaves, dphi, dy, taken),
    )
    if first:
        return dh, taken
    dh = dh + dx[:, :channels]
    received = torch.from_numpy(dreceive)
    dh.addmm_(received if step.slope is None else received * step.slope, layer.receive.weight)
    dh.addmm_(torch.from_numpy(dphi), layer.send.weight)
    return dh, taken


def _ends(steps: Any) -> tuple[torch.nn.Linear, torch.nn.Linear]:
    """The two linear maps of a layer, an activation and a layer."""
    return steps[0], steps[2]


def _filters(layer: Interaction) -> tuple[Array, Array]:
    """Weights of the radial functions, for what neighbours send and for what they hand on (perhaps none)."""
    filters: Array = layer.filters.detach().numpy()
    none = np.empty((len(filters), 0), filters.dtype)
    return filters, layer.carry_filters.detach().numpy() if layer.takes else none


def _scale(layer: Interaction, channels: int, kind: Any) -> Any:
    return kind.type(1 / (channels * (layer.couplings.lmax + 1)))


def _levels(lmax: int) -> list[slice]:
    return [slice(level**2, (level + 1) ** 2) for level in range(lmax + 1)]
