"""What computes: the network of a checkpoint, any ASE calculator, and dispersion on top of either."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from sciai.atoms.api.files import CHARGES
from sciai.atoms.api.neighbours import SKIN, KeptPairs
from sciai.core.errors import BadInput, SciaiError
from sciai.core.shown import Brief
from sciai.trust.ensemble import combine

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from sciai.atoms.checks.scene import Edges
    from sciai.atoms.model.interface import PotentialNet

__all__ = ["CalculatorEngine", "Calibration", "Dispersion", "Engine", "NetEngine", "Properties"]

Floats = npt.NDArray[np.float64]
DISPERSED: Final = 94
"""Atomic number of the last element that D3 has parameters for."""
NET_PAIR_BYTES: Final = 900.0
"""What a network needs for one directed pair, bytes, where the checkpoint does not say (measured: 720)."""


@dataclass(frozen=True, repr=False)
class Properties(Brief):
    """What a potential says of one structure, with its spread.

    Attributes:
        energy: eV.
        forces: eV/Å, shape (n, 3).
        stress: eV/Å^3, Voigt (xx, yy, zz, yz, xz, xy), ASE's sign; None without a full periodic cell.
        energies: energy of each atom, eV, shape (n,); None where the potential has none.
        energy_sd: standard deviation of the energy, eV; NaN where not known.
        force_sd: standard deviation of a force component of each atom, eV/Å, shape (n,); NaN where not known.
        descriptor: what the network sees around each atom, shape (n, d); None where it has none.
        heads: energy by each head or member, eV, shape (heads,); only differences among them count. None
            where there is only one.
    """

    energy: float
    forces: Floats
    stress: Floats | None
    energies: Floats | None = None
    energy_sd: float = float("nan")
    force_sd: Floats | None = None
    descriptor: Floats | None = None
    heads: Floats | None = None


@dataclass(frozen=True)
class Calibration:
    """From the spread that a network predicts to one that covers, by conformal quantiles of held-out errors.

    What comes out is a standard deviation such that 1.645 of them to either side cover 90 %.

    Attributes:
        edges: upper ends of the classes of predicted force spread but the last, eV/Å.
        factors: conformal quantile of error over spread in each class; NaN where none was measured: what a
            network says of its own errors may be a fortieth of them.
        energy_factor: the same for energies per atom.
        floor: added to the predicted spread of energies, eV per atom.
        alpha: share that the quantiles leave out.
        known: whether anything was calibrated.

    Example:
        >>> card = {"alpha": 0.1, "force": {"edges": [0.1], "quantiles": [3.29, 1.645]}}
        >>> Calibration.of(card).forces(np.array([0.05, 0.2])).round(3).tolist()
        [0.1, 0.2]
    """

    edges: tuple[float, ...] = ()
    factors: tuple[float, ...] = (float("nan"),)
    energy_factor: float = float("nan")
    floor: float = 0.0
    alpha: float = 0.1
    known: bool = False

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Calibration:
        """From a card's calibration.

        Args:
            card: as the training of the potential writes it; without figures no spread is known.
        """
        from statistics import NormalDist

        alpha = float(card.get("alpha", 0.1))
        unit = NormalDist().inv_cdf(1 - alpha / 2)
        # of few structures some classes, or all energies, may have no figure
        force, energy = card.get("force") or {}, card.get("energy") or {}
        return cls(
            tuple(float(x) for x in force.get("edges", ())),
            tuple(float(x) / unit for x in force.get("quantiles", ())) or (float("nan"),),
            float(energy["quantiles"][0]) / unit if energy else float("nan"),
            float(energy.get("floor", 0.0)),
            alpha,
            bool(force or energy),
        )

    def forces(self, sd: Floats) -> Floats:
        """Calibrated spread of force components from the predicted one, both shape (n,), eV/Å."""
        place = np.searchsorted(np.asarray(self.edges), sd, side="right")
        return np.asarray(np.asarray(self.factors)[place] * sd)

    def energy(self, sd: float, atoms: int) -> float:
        """Calibrated spread of a total energy, eV."""
        return self.energy_factor * (sd + self.floor * atoms)


class Engine(Protocol):
    """Anything that computes."""

    name: str
    cutoff: float | None
    pair_bytes: float

    def compute(self, structures: Sequence[Atoms]) -> list[Properties]:
        """Energy, forces, stress and spread of each structure."""
        ...

    def forget(self) -> None:
        """Drop what was kept between steps, so that the next answer depends on nothing before it."""
        ...


class NetEngine:
    """The network of a checkpoint.

    Pairs of neighbours are kept between calls for one structure and reused while no atom has moved by more
    than half of the skin.
    """

    def __init__(
        self,
        net: PotentialNet,
        name: str,
        *,
        calibration: Calibration | None = None,
        batch_pairs: int = 200_000,
        pair_bytes: float = NET_PAIR_BYTES,
        device: str = "cpu",
    ) -> None:
        self.net, self.name = net, name
        self.cutoff: float | None = float(net.cutoff)
        self.reach = float(net.cutoff)
        self.calibration = calibration or Calibration()
        self.batch_pairs, self.pair_bytes, self.device = batch_pairs, pair_bytes, device
        self.level = int(getattr(net, "answers", 0))
        self._kept: KeptPairs | None = None

    def forget(self) -> None:
        """Drop the kept pairs."""
        self._kept = None

    def compute(self, structures: Sequence[Atoms]) -> list[Properties]:
        """Answers for each structure, in batches of about ``batch_pairs`` pairs."""
        if len(structures) == 1:
            return self._ask(self._graph_of_one(structures[0]), structures)
        from sciai.atoms.data.graph import graphs_of, join

        out: list[Properties] = []
        waiting: list[Any] = []
        members: list[Atoms] = []
        for atoms in structures:
            graph = graphs_of([atoms], self.reach, self.level)
            size = sum(g.edges.shape[1] for g in waiting)
            if waiting and size + graph.edges.shape[1] > self.batch_pairs:
                out += self._ask(join(waiting), members)
                waiting, members = [], []
            waiting.append(graph)
            members.append(atoms)
        if waiting:
            out += self._ask(join(waiting), members)
        return out

    def edges(self, atoms: Atoms) -> Edges:
        """The pairs of a structure, from the list that ``compute`` will use; some are beyond the cutoff.

        Args:
            atoms: the structure that is asked about next.
        """
        graph = self._graph_of_one(atoms)
        return graph.edges.numpy(), graph.shifts.numpy()

    def _graph_of_one(self, atoms: Atoms) -> Any:
        from sciai.atoms.data.graph import graphs_of

        kept = self._kept
        if kept is not None and (last := kept.same(atoms)) is not None:
            return last
        if kept is None or not kept.serves(atoms):
            graph = graphs_of([atoms], self.reach + SKIN, self.level)
            kept = self._kept = KeptPairs(atoms.copy(), graph, self.reach)
        return kept.moved(atoms)

    def _ask(self, graph: Any, structures: Sequence[Atoms]) -> list[Properties]:
        from sciai.atoms.model.interface import predict

        answer = predict(self.net, graph.to(self.device), forces=True, stress=True)
        if answer.forces is None or answer.stress is None:
            raise SciaiError(f"{self.name} gave no forces or no stress")
        energy, energies, forces, stress, energy_sd, force_sd, descriptor = (
            t.detach().cpu().numpy().astype(np.float64)
            for t in (
                *(answer.energy, answer.energies, answer.forces, answer.stress),
                *(answer.energy_sd, answer.force_sd, answer.descriptor),
            )
        )
        heads = None if answer.heads is None else answer.heads.detach().cpu().numpy().astype(np.float64)
        ends = np.cumsum([len(atoms) for atoms in structures])
        out = []
        for k, atoms in enumerate(structures):
            part = slice(int(ends[k]) - len(atoms), int(ends[k]))
            full = bool(atoms.pbc.all())
            out.append(
                Properties(
                    energy=float(energy[k]),
                    forces=forces[part],
                    stress=stress[k][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] if full else None,
                    energies=energies[part],
                    energy_sd=self.calibration.energy(float(energy_sd[k]), len(atoms)),
                    force_sd=self.calibration.forces(force_sd[part]),
                    descriptor=descriptor[part],
                    heads=None if heads is None else heads[k],
                )
            )
        return out


class CalculatorEngine:
    """Any ASE calculator, or several of them as an ensemble whose disagreement is the spread."""

    def __init__(self, members: Sequence[Calculator], name: str, cutoff: float | None = None) -> None:
        self.members, self.name, self.cutoff = list(members), name, cutoff
        self.pair_bytes = 0.0
        self._charges: dict[str, Any] = {}

    def forget(self) -> None:
        """Make the calculators start afresh."""
        for member in self.members:
            _reset(member)

    def compute(self, structures: Sequence[Atoms]) -> list[Properties]:
        """Answers for each structure, one after the other."""
        return [self._one(atoms) for atoms in structures]

    def _one(self, atoms: Atoms) -> Properties:
        charges = {name: atoms.info[name] for name in CHARGES if name in atoms.info}
        if charges != self._charges:  # ASE gives what it kept where only these differ
            self.forget()
            self._charges = charges
        found = [self._member(member, atoms) for member in self.members]
        one = found[0]
        if all(p.energy == one.energy and np.array_equal(p.forces, one.forces) for p in found[1:]):
            return one  # alone, or copies of one another, which do not tell how far they are off
        energy = combine([p.energy for p in found])
        forces = combine(np.stack([p.forces for p in found]))
        stresses = [p.stress for p in found if p.stress is not None]
        return Properties(
            energy=float(energy.value),
            forces=forces.value,
            stress=np.mean(stresses, axis=0) if len(stresses) == len(found) else None,
            energy_sd=float(energy.spread),
            force_sd=np.sqrt((np.asarray(forces.spread) ** 2).mean(1)),
            heads=np.array([p.energy for p in found]),
        )

    def _member(self, calculator: Calculator, atoms: Atoms) -> Properties:
        from ase.calculators.calculator import PropertyNotImplementedError

        structure = atoms.copy()
        structure.set_constraint()
        structure.calc = calculator
        stress = None
        try:
            energy = float(structure.get_potential_energy())
            forces = np.asarray(structure.get_forces(), float).copy()
            if atoms.pbc.all():
                try:
                    stress = np.asarray(structure.get_stress(), float).copy()
                except (PropertyNotImplementedError, NotImplementedError):
                    stress = None  # many calculators have none; a relaxation of the cell will say so
                except AttributeError:
                    if calculator.results.get("stress", 0) is not None:
                        raise
                    stress = None  # some say so by the value
        except PropertyNotImplementedError as error:
            raise BadInput(f"{self.name} gives no energy or no forces", field="calculator") from error
        except SciaiError:
            raise
        except Exception as error:  # codes of others raise anything: no convergence, an unknown element
            told = f"{type(error).__name__}: {error}".strip().split("\n")[0]
            formula = atoms.get_chemical_formula()
            raise SciaiError(f"{self.name} failed on {formula} ({len(atoms)} atoms): {told}") from error
        if forces.shape != (len(atoms), 3):
            raise SciaiError(f"{self.name} gave forces of shape {forces.shape} for {len(atoms)} atoms")
        if stress is not None and not np.isfinite(stress).all():
            raise SciaiError(f"{self.name} gave a stress that is not a number")
        nan = np.full(len(atoms), np.nan)
        return Properties(energy, forces, stress, force_sd=nan)


def _reset(calculator: Any) -> None:
    """Make a calculator forget; sums of calculators (a potential with dispersion) have no method for it."""
    if hasattr(calculator, "reset"):
        calculator.reset()
        return
    for part in getattr(getattr(calculator, "mixer", None), "calcs", ()):
        _reset(part)
    calculator.atoms, calculator.results = None, {}


class Dispersion:
    """Grimme's D3(BJ) added to an engine that lacks it.

    Grimme, Antony, Ehrlich & Krieg 2010, J. Chem. Phys. 132, 154104; damping: Grimme, Ehrlich & Goerigk 2011,
    J. Comput. Chem. 32, 1456; computed by torch-dftd.
    """

    def __init__(self, engine: Engine, functional: str = "pbe", device: str = "cpu") -> None:
        try:
            from torch_dftd.torch_dftd3_calculator import TorchDFTD3Calculator
        except ImportError as error:
            raise BadInput(
                f"dispersion needs torch-dftd ({error})", field="d3", fix="pip install 'sciai[d3]'"
            ) from error
        import torch

        functional = functional.lower()
        self.engine, self.name = engine, f"{engine.name} + D3({functional})"
        self.cutoff, self.pair_bytes = engine.cutoff, engine.pair_bytes
        try:
            calculator = TorchDFTD3Calculator(
                device=device, damping="bj", xc=functional, dtype=torch.float64, cutoff=30.0
            )
        except ValueError as error:
            raise BadInput(
                f"no D3(BJ) is known for the functional {functional!r}",
                field="d3", fix="use a name of torch-dftd, such as pbe, pbesol, rpbe, revpbe, pbe0, b3-lyp",
            ) from error  # fmt: skip
        self.correction = CalculatorEngine([calculator], "D3")

    def forget(self) -> None:
        """Drop what either keeps."""
        self.engine.forget()
        self.correction.forget()

    def compute(self, structures: Sequence[Atoms]) -> list[Properties]:
        """The engine's answers plus the correction; the spread is the engine's."""
        return [
            replace(
                base,
                energy=base.energy + more.energy,
                forces=base.forces + more.forces,
                stress=None if base.stress is None or more.stress is None else base.stress + more.stress,
                energies=None,
            )
            for base, more in zip(
                self.engine.compute(structures),
                self.correction.compute([_with_vectors(atoms) for atoms in structures]),
                strict=True,
            )
        ]


def _with_vectors(atoms: Atoms) -> Atoms:
    """The same with a vector where a layer or a chain has none; nothing repeats along it."""
    if not atoms.pbc.any() or atoms.pbc.all() or np.linalg.matrix_rank(atoms.cell.array) == 3:
        return atoms
    out: Atoms = atoms.copy()
    out.set_constraint()
    out.set_cell(atoms.cell.complete())
    return out


def independent(engine: Engine) -> Engine:
    """The same engine for another system: kept pairs are not shared, weights are.

    Args:
        engine: any engine.
    """
    twin = copy.copy(engine)
    if isinstance(twin, NetEngine):
        twin.forget()
    elif isinstance(twin, Dispersion):
        twin.engine = independent(twin.engine)
    return twin
