"""The network: what surrounds each atom, as invariant products of neighbour sums, twice or more in a row.

One interaction, for atom i with neighbours j (c: channel; l, m: angular level and component)::

    A[l m, c] = sum_j  W[l, c](r_ij) phi_j[c] Y_lm(r_ij)   (+ sum_j U[l, c](r_ij) V_j[l m, c])
    B[l]      = A[l] mixed over channels
    q         = A.B for each level, and A.A.B for some triples of levels, channel by channel
    h_i       = h_i + MLP(h_i, q)                           (V_i = gated B, where tensors are carried on)

The sum over neighbours is linear, so angles and many-body terms come from products *after* the sum, as in the
atomic cluster expansion (Drautz 2019, Phys. Rev. B 99, 014104) and its message passing form (Batatia et al.
2022, MACE, arXiv:2206.07697). With levels up to 1, vectors carried and no triples it is a PaiNN-like network
(Schütt et al. 2021, arXiv:2102.03150). The energy is smooth: cutoffs depend on the pair of elements and
every radial function goes to zero there with its first and second derivative. At short range a screened
nuclear repulsion (Ziegler, Biersack & Littmark 1985, "The Stopping and Range of Ions in Matter") is built
in, and features are bounded, so it wins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sciai.atoms.data.graph import Graph
from sciai.atoms.model import by_hand
from sciai.atoms.model.harmonics import harmonics
from sciai.atoms.model.interface import Prediction
from sciai.atoms.model.ops import Couplings, Pairs, carry, compiled, density, products
from sciai.atoms.model.radial import envelope, floored, shells
from sciai.core.errors import BadInput

__all__ = ["COULOMB", "ELEMENTS", "ZBL", "Network", "Output"]

ELEMENTS = 119
"""Rows of the tables over elements: atomic numbers 0 (unused) to 118."""

_PROTOTYPES, _HELD_OUT = 6144, 4096
COULOMB = 14.399645
"""e^2 / (4 pi eps0), eV Å."""
ZBL = ((0.18175, 3.1998), (0.50986, 0.94229), (0.28022, 0.4029), (0.02817, 0.20162))
"""Screening of nuclei: factors and decays of its exponentials."""


@dataclass
class Output:
    """What training sees. Gradients are attached where they were asked for.

    Attributes:
        heads: energy by each head, eV, [g, heads], without the elements' offsets.
        offset: the elements' offsets, eV, float64 [g].
        energies: mean over heads per atom, eV, [n], without offsets.
        forces: eV/Å, [n, 3], or None.
        virial: dE/d(strain), eV, [g, 3, 3], symmetric, or None.
        force_sd: eV/Å, [n]; learns, but the rest of the network does not learn from it.
        hidden: atom features [n, channels].
    """

    heads: Tensor
    offset: Tensor
    energies: Tensor
    forces: Tensor | None
    virial: Tensor | None
    force_sd: Tensor
    hidden: Tensor


class Network(nn.Module):
    """Energy of atoms, with exact forces and stress.

    Args:
        channels: width.
        layers: number of interactions.
        lmax: highest angular level of the neighbour sums, 0 to 3.
        carried: highest level of tensors handed on between interactions; 0 hands on scalars only.
        triples: levels of the products of three, each (l1, l2, l3).
        radial: radial functions, a multiple of four.
        hidden: width of the update MLP, in channels; of every interaction, or one number for each.
        heads: energy heads; their spread is the energy's.
        reach: (a, b, most): the cutoff of a pair is a + b (R1 + R2), at most ``most``; R are covalent radii,
            Å.
        sources: data source -> level of theory, numbered from 0.
        neighbours: typical number of neighbours, to scale sums.
        answers: source that predictions answer at; None is the first.
        strength: the most by which an atom weighs its surroundings, so that features stay finite however
            atoms lie (half of it hardly changes); None for no bound, as in networks before it.

    Raises:
        BadInput: on sizes that cannot be.
    """

    touch: Tensor
    reach: Tensor
    frequencies: Tensor
    levels: Tensor
    offsets: Tensor
    shells: Tensor
    support_known: Tensor
    support_element: Tensor
    support_scale: Tensor
    support_held: Tensor
    closest: Tensor
    stiff: Tensor
    bend: Tensor

    def __init__(
        self,
        channels: int = 64,
        layers: int = 2,
        lmax: int = 3,
        carried: int = 0,
        triples: Sequence[Sequence[int]] = ((1, 1, 2), (2, 2, 2), (1, 2, 3)),
        radial: int = 8,
        hidden: int | Sequence[int] = 2,
        heads: int = 8,
        reach: Sequence[float] = (3.4, 0.66, 6.5),
        sources: Mapping[str, int] | None = None,
        neighbours: float = 20.0,
        answers: str | None = None,
        strength: float | None = None,
    ) -> None:
        super().__init__()
        if answers is not None and answers not in (sources or {}):
            known = ", ".join(sources or {})
            raise BadInput(f"no source is called {answers!r}", field="answers", fix=f"there are {known}")
        if radial < 4 or radial % 4:
            raise BadInput(f"{radial} radial functions", field="radial", fix="use 4, 8, 12 ...")
        if strength is not None and not strength > 0:
            raise BadInput(
                f"a strength of {strength}", field="domain.net.strength", fix="use a number above 0"
            )
        if not 0 <= carried <= lmax <= 3:
            raise BadInput(f"levels up to {lmax}, carried up to {carried}", field="lmax", fix="0 to 3")
        from ase.data import covalent_radii

        self.cutoff, self.lmax, self.carried = float(reach[2]), lmax, carried
        self.sources = dict(sources or {"pbe": 0})
        self.names = tuple(self.sources)
        self.answers = self.names.index(answers) if answers is not None else 0
        self.n_radial = radial
        radii = torch.zeros(ELEMENTS, dtype=torch.float64)
        radii[: len(covalent_radii)] = torch.as_tensor(covalent_radii[:ELEMENTS])
        radii[0] = 0.0
        touch = radii[:, None] + radii[None, :]
        self.register_buffer("touch", touch.float(), persistent=False)
        reaches = (reach[0] + reach[1] * touch).clamp(max=reach[2])
        self.register_buffer("reach", reaches, persistent=False)
        frequencies = math.pi * torch.arange(1, radial + 1).double()
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.register_buffer("levels", torch.tensor(list(self.sources.values())), persistent=False)
        self.register_buffer("offsets", torch.zeros(len(self.names), ELEMENTS, dtype=torch.float64))
        self.register_buffer("shells", torch.as_tensor(shells(ELEMENTS)), persistent=False)
        self.family = nn.Linear(self.shells.shape[1], channels, bias=False)
        self.embedding = nn.Embedding(ELEMENTS, channels)
        with torch.no_grad():
            self.embedding.weight.zero_()  # an element that is never seen stays what its neighbours are
            self.family.weight.normal_()
        self.level = nn.Embedding(max(self.sources.values()) + 1, channels)
        nn.init.zeros_(self.level.weight)
        couplings = Couplings.of(lmax, triples)
        widths = _widths(hidden, layers)
        self.interactions = nn.ModuleList(
            Interaction(
                channels,
                radial,
                couplings,
                widths[k] * channels,
                takes=carried if k else 0,
                gives=carried if k < layers - 1 else 0,
                neighbours=neighbours,
                strength=strength,
            )
            for k in range(layers)
        )
        last = nn.Linear(channels, heads)
        with torch.no_grad():
            last.weight *= 0.3
            last.bias.zero_()
        self.readout = nn.Sequential(nn.Linear(layers * channels, channels), nn.SiLU(), last)
        self.doubt = nn.Sequential(nn.Linear(channels, 32), nn.SiLU(), nn.Linear(32, 1), nn.Softplus())
        # filled in by calibration: environments that were learned, and distances that were seen
        self.register_buffer("support_known", torch.full((_PROTOTYPES, channels), torch.nan))
        self.register_buffer("support_element", torch.zeros(_PROTOTYPES, dtype=torch.uint8))
        self.register_buffer("support_scale", torch.zeros(channels))
        self.register_buffer("support_held", torch.full((_HELD_OUT,), torch.nan))
        self.register_buffer("closest", torch.full((ELEMENTS, ELEMENTS), torch.inf))
        self.register_buffer("stiff", torch.zeros(ELEMENTS, ELEMENTS))
        self.register_buffer("bend", torch.full((ELEMENTS, ELEMENTS), 0.6), persistent=False)

    def keep_to_seen(self) -> None:
        """Nearer than training has seen two elements, less a margin, nothing but repulsion changes.

        For pairs that were never seen, or never nearer than they touch, from 0.8 of touching on; further
        out for the few pairs that would attract each other inside their bond (``stiff``). Training itself,
        which sees new data, bends all pairs alike at 0.6.
        """
        touch = self.touch.clamp(min=0.1)
        self.bend.copy_((0.85 * self.closest.float() / touch).clamp(0.6, 0.8).maximum(self.stiff))

    @property
    def dtype(self) -> torch.dtype:
        """The precision it computes in."""
        return self.embedding.weight.dtype

    def forward(
        self, graph: Graph, *, forces: bool = True, stress: bool = True, learn: bool = False
    ) -> Output:
        """Energies, and their derivatives.

        Args:
            graph: structures with pairs up to ``cutoff`` at least.
            forces: whether forces are wanted.
            stress: whether the virial is wanted.
            learn: whether a loss will be differentiated through the forces.
        """
        vectors, pairs, z = self._pairs(graph)
        wanted = forces or stress
        with torch.enable_grad() if wanted else torch.no_grad():
            if wanted:
                vectors.requires_grad_()
            atoms, hidden = self._atoms(graph, vectors, pairs, z)
            heads = _per_graph(atoms, graph)
            energies = atoms.mean(1)
            gradient = None
            if wanted and len(vectors):
                (gradient,) = torch.autograd.grad(energies.sum(), vectors, create_graph=learn)
            elif wanted:
                gradient = torch.zeros_like(vectors)
        force = virial = None
        if forces and gradient is not None:
            force = gradient.new_zeros(len(graph), 3)
            force = force.index_add(0, pairs.centre, gradient).index_add(0, pairs.neighbour, -gradient)
        if stress and gradient is not None:
            outer = vectors.detach()[:, :, None] * gradient[:, None, :]
            virial = outer.new_zeros(graph.n_graphs, 3, 3).index_add(0, graph.batch[pairs.centre], outer)
            virial = (virial + virial.transpose(1, 2)) / 2
        offsets = self.offsets[graph.source[graph.batch], graph.numbers]
        offset = offsets.new_zeros(graph.n_graphs).index_add(0, graph.batch, offsets)
        return Output(heads, offset, energies, force, virial, self._force_sd(hidden), hidden)

    def predict(self, graph: Graph, *, forces: bool = True, stress: bool = True) -> Prediction:
        """Answers without gradients; see ``Prediction``. On a CPU by ``by_hand``, else by ``forward``."""
        force: Tensor | None
        virial: Tensor | None
        if self.lmax <= by_hand.HIGHEST and compiled(graph.positions):
            found = by_hand.derived(self, graph, forces or stress)
            atoms, hidden = found.atoms, found.hidden
            force, virial = (found.forces if forces else None), (found.virial if stress else None)
            heads, energies = _per_graph(atoms, graph), atoms.mean(1)
            force_sd = self._force_sd(hidden)
            if virial is not None:
                virial = (virial + virial.transpose(1, 2)) / 2
        else:
            out = self(graph, forces=forces, stress=stress)
            heads, energies, hidden, force_sd = out.heads, out.energies, out.hidden, out.force_sd
            force, virial = out.forces, out.virial
        offsets = self.offsets[graph.source[graph.batch], graph.numbers]
        energies = energies.detach().double() + offsets
        energy = energies.new_zeros(graph.n_graphs).index_add(0, graph.batch, energies)
        full = None
        if virial is not None:
            volume = torch.linalg.det(graph.cells).abs()
            volume = torch.where(volume > 1e-6, volume, torch.nan)
            full = virial.detach().double() / volume[:, None, None]
        several = heads.shape[1] > 1
        return Prediction(
            energy=energy,
            energies=energies,
            forces=None if force is None else force.detach().double(),
            stress=full,
            energy_sd=heads.detach().double().std(1) if several else torch.zeros_like(energy),
            force_sd=force_sd.detach().double(),
            descriptor=hidden.detach(),
            heads=heads.detach().double() if several else None,
        )

    def _force_sd(self, hidden: Tensor) -> Tensor:
        """Predicted error of forces from features, eV/Å, [n]; the features do not learn from it."""
        out: Tensor = self.doubt(hidden.detach())[:, 0] + 1e-3
        return out

    def _pairs(self, graph: Graph) -> tuple[Tensor, Pairs, Tensor]:
        """Vectors of the pairs within reach of each other, those pairs, and their atomic numbers [2, e]."""
        edges = graph.edges
        vectors = graph.positions[edges[1]] - graph.positions[edges[0]] + graph.shifts
        z = graph.numbers[edges]
        near = vectors.square().sum(1) < self.reach[z[0], z[1]].square()
        if not bool(near.all()):
            edges, vectors, z = edges[:, near], vectors[near], z[:, near]
        return vectors.detach().to(self.dtype), Pairs.of(edges[0], edges[1], len(graph)), z

    def _atoms(self, graph: Graph, vectors: Tensor, pairs: Pairs, z: Tensor) -> tuple[Tensor, Tensor]:
        """Energy of every atom by every head [n, heads], and the last features [n, channels]."""
        distance = vectors.square().sum(1).clamp(min=1e-12).sqrt()
        unit = vectors / distance[:, None]
        touch = self.touch[z[0], z[1]].to(distance.dtype)
        x = (
            floored(distance / touch, self.bend[z[0], z[1]])
            * touch
            / self.reach[z[0], z[1]].to(distance.dtype)
        )
        waves = torch.sin(x[:, None] * self.frequencies.to(x.dtype)) * (envelope(x) / x)[:, None]
        y = harmonics(unit, self.lmax)
        # neighbours in the periodic table start alike; what sets an element apart is learned on top
        table = self.embedding.weight + self.family(self.shells.to(self.dtype))
        hidden = table[graph.numbers] + self.level(self.levels[graph.source])[graph.batch]
        tensors: Tensor | None = None
        stages = []
        for interaction in self.interactions:
            hidden, tensors = interaction(hidden, tensors, waves, y, pairs)
            stages.append(hidden)
        atoms = self.readout(torch.cat(stages, 1))
        return atoms + self._repulsion(distance, pairs, z)[:, None], hidden

    def _repulsion(self, distance: Tensor, pairs: Pairs, z: Tensor) -> Tensor:
        """Screened nuclear repulsion per atom, eV, [n]; ends smoothly where the covalent radii touch."""
        touch = self.touch[z[0], z[1]].to(distance.dtype)
        close = (distance.detach() < touch).nonzero()[:, 0]
        out = distance.new_zeros(pairs.n)
        if not len(close):
            return out
        r, (z1, z2) = distance[close], z[:, close].to(distance.dtype)
        scaled = r * (z1**0.23 + z2**0.23) / 0.46850
        screening = sum(a * torch.exp(-b * scaled) for a, b in ZBL)
        energy = 0.5 * COULOMB * z1 * z2 / r * screening * envelope(r / touch[close])
        return out.index_add(0, pairs.centre[close], energy)


class Interaction(nn.Module):
    """One sum over neighbours, its invariants, and the update of the atoms' features.

    Args:
        channels: width.
        radial: radial functions.
        couplings: which invariants.
        hidden: width inside the update.
        takes: highest level of the tensors that come in; 0 for none.
        gives: highest level of the tensors that go out; 0 for none.
        neighbours: typical number of neighbours.
        strength: the most by which surroundings are weighed, or None.
    """

    def __init__(
        self,
        channels: int,
        radial: int,
        couplings: Couplings,
        hidden: int,
        takes: int,
        gives: int,
        neighbours: float,
        strength: float | None = None,
    ) -> None:
        super().__init__()
        levels = couplings.lmax + 1
        self.couplings, self.takes, self.gives, self.strength = couplings, takes, gives, strength
        scale = 1.5 / math.sqrt(radial * neighbours)
        self.filters = nn.Parameter(scale * torch.randn(radial, levels * channels))
        self.send = nn.Linear(channels, channels)
        self.receive = nn.Linear(channels, channels)
        nn.init.ones_(self.receive.bias)
        self.mix = nn.Parameter(torch.randn(levels, channels, channels) / math.sqrt(channels))
        inputs = (couplings.outputs + 1) * channels
        self.update = nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, channels))
        if takes:
            self.carry_filters = nn.Parameter(scale * torch.randn(radial, takes * channels))
        if gives:
            self.gate = nn.Linear(channels, gives * channels)

    def weighed(self, h: Tensor) -> tuple[Tensor, Tensor | None]:
        """By what atoms of features h [n, c] weigh their surroundings; how a bound bends it, None without."""
        received: Tensor = self.receive(h)
        if self.strength is None:
            return received, None
        factor = (1 + (received / self.strength).square().square()).sqrt().rsqrt()
        return received * factor, factor**5

    def forward(
        self, h: Tensor, v: Tensor | None, radial: Tensor, y: Tensor, pairs: Pairs
    ) -> tuple[Tensor, Tensor | None]:
        """New features [n, c], and tensors to hand on [n, components, c] or None."""
        a = density(radial, self.filters, self.send(h), y, pairs)
        if v is not None:
            last = 1 + v.shape[1]
            taken = carry(radial, self.carry_filters, v, pairs)
            a = torch.cat([a[:, :1], a[:, 1:last] + taken, a[:, last:]], 1)
        # bounded, however dense it gets: products of it cannot outgrow the repulsion
        size = torch.rsqrt(1 + a.square().sum(1).mean(1) / (self.couplings.lmax + 1))
        a = a * (self.weighed(h)[0] * size[:, None])[:, None]
        parts = a.split([2 * level + 1 for level in range(self.couplings.lmax + 1)], 1)
        b = torch.cat([part @ mix for part, mix in zip(parts, self.mix, strict=True)], 1)
        q = products(a, b, self.couplings)
        h = h + self.update(torch.cat([h, q.flatten(1)], 1))
        if not self.gives:
            return h, None
        gates = self.gate(h).view(len(h), self.gives, -1)
        rows = [level for level in range(self.gives) for _ in range(2 * level + 3)]
        return h, b[:, 1 : 1 + len(rows)] * gates[:, rows]


def _per_graph(values: Tensor, graph: Graph) -> Tensor:
    return values.new_zeros(graph.n_graphs, *values.shape[1:]).index_add(0, graph.batch, values)


def _widths(hidden: object, layers: int) -> list[int]:
    """Width of each interaction's update, in channels, from what a config holds."""
    widths: list[Any] = list(hidden) if isinstance(hidden, Sequence) else [hidden] * layers
    if len(widths) != layers or not all(isinstance(width, int) and width > 0 for width in widths):
        fix = f"give one whole number from 1 up, or {layers}, one for each of the layers"
        raise BadInput(f"hidden is {hidden}, layers {layers}", field="domain.net.hidden", fix=fix)
    return widths
