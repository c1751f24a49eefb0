"""Potentials and quantum-chemistry codes that label structures: energy, forces, stress.

Their weights come inside the PyPI packages (``pip install 'sciai[teachers]'``), and nothing is downloaded;
MatterSim's come from PyPI with the first use.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from sciai.atoms.data.records import Record, from_atoms
from sciai.atoms.data.weights import mattersim_weights
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

__all__ = [
    "MATTERSIM",
    "TEACHERS",
    "TEACHERS_EXTRA",
    "Chgnet",
    "ChgnetPbe",
    "MatterSim",
    "SevenNet",
    "Teacher",
    "Xtb",
    "quiet",
    "teacher",
]

TEACHERS_EXTRA = "'sciai[teachers]'"
# With its dependencies come a mismatching torchvision, cloud clients and more, which labelling does not need.
MATTERSIM = "--no-deps mattersim==1.2.3 loguru torch-ema torch-runstats deprecated wrapt"
_BOX = 6.0  # Å of vacuum around a molecule for a teacher that knows crystals alone; images are out of reach
_CORRECTED = {8: -0.687, 9: -0.462}
"""Anion -> what MP2020 adds, eV for each atom."""
_GUESTS = (1, 6, *_CORRECTED)
_OTHER_ANIONS = (7, 14, 16, 17, 34, 35, 51, 52, 53)
_NOBLE = (2, 10, 18, 36, 54, 86)

Floats = npt.NDArray[np.float64]


class Teacher(Protocol):
    """Something that labels structures.

    Attributes:
        source: name of its labels' source.
    """

    source: str

    def knows(self, number: int) -> bool:
        """Whether it can label an element."""
        ...

    def label(self, records: Sequence[Record]) -> list[Record | None]:
        """The same structures with its labels; None where it could not."""
        ...


class SevenNet:
    """SevenNet of Park et al. (doi 10.1021/acs.jctc.4c00190), from the package sevenn: MPtrj, PBE(+U).

    Several cells go through the network at once, which is 1.2 times as fast as its ASE calculator for ten
    atoms.

    Args:
        model: "7net-0" or "7net-l3i5", which is more accurate and four times as slow.
        atoms_at_once: atoms in one pass.

    Raises:
        BadInput: when the package is not installed.
    """

    def __init__(self, model: str = "7net-0", atoms_at_once: int = 64) -> None:
        with _needs("sevenn"):
            import sevenn._keys as keys
            from sevenn import util
            from sevenn.atom_graph_data import AtomGraphData
            from sevenn.train.dataload import unlabeled_atoms_to_graph
        with quiet():
            checkpoint = util.load_checkpoint(model)
            self._net = checkpoint.build_model()
        self._net.set_is_batch_data(True)
        self._net.eval()
        self._cutoff = float(checkpoint.config[keys.CUTOFF])
        self._known = {int(z) for z in checkpoint.config[keys.TYPE_MAP]}
        self._keys, self._graph = keys, unlabeled_atoms_to_graph
        self._data = AtomGraphData.from_numpy_dict
        self._most = atoms_at_once
        self.source = model

    def knows(self, number: int) -> bool:
        """Whether it can label an element."""
        return number in self._known

    def label(self, records: Sequence[Record]) -> list[Record | None]:
        """The same structures with its labels; None for unknown elements and isolated atoms."""
        from torch_geometric.data import Batch

        done: list[Record | None] = [None] * len(records)
        graphs: dict[int, Any] = {}
        for i, record in enumerate(records):
            if all(self.knows(int(z)) for z in record.numbers):
                graph = self._graph(record.to_atoms(), self._cutoff)
                if graph[self._keys.EDGE_IDX].size:
                    graphs[i] = self._data(graph)
        for chosen in _batches(list(graphs), [len(records[i]) for i in graphs], self._most):
            out = self._net(Batch.from_data_list([graphs[i] for i in chosen]))
            energies = out[self._keys.PRED_TOTAL_ENERGY].detach().double().numpy()
            forces = out[self._keys.PRED_FORCE].detach().double().numpy()
            # xx yy zz xy yz zx, and positive under pressure; ours is the other sign
            stresses = -out[self._keys.PRED_STRESS].detach().double().numpy()
            start = 0
            for k, i in enumerate(chosen):
                n = len(records[i])
                xx, yy, zz, xy, yz, zx = stresses[k]
                stress = np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]])
                done[i] = records[i].with_labels(
                    float(energies[k]),
                    forces[start : start + n],
                    stress if records[i].pbc.all() else None,
                    self.source,
                )
                start += n
        return done


class Chgnet:
    """CHGNet 0.3.0 of Deng et al. (doi 10.1038/s42256-023-00716-3): MPtrj with the energies MP2020-corrected.

    Raises:
        BadInput: when the package is not installed.
    """

    def __init__(self, atoms_at_once: int = 64) -> None:
        with _needs("chgnet"):
            from chgnet.model import CHGNet
        with quiet():
            self._net = CHGNet.load(use_device="cpu", verbose=False)
            self._net.graph_converter.set_isolated_atom_response("ignore")
        self._most = atoms_at_once
        self.source = "chgnet"

    def knows(self, number: int) -> bool:
        """Whether it can label an element."""
        return 1 <= number <= 94 and number not in (84, 85, 86, 87, 88)

    def label(self, records: Sequence[Record]) -> list[Record | None]:
        """The same structures with its labels; None for unknown elements and non-crystals."""
        from pymatgen.core.lattice import Lattice
        from pymatgen.core.structure import Structure

        done: list[Record | None] = [None] * len(records)
        fit = [i for i, r in enumerate(records) if r.pbc.all() and all(self.knows(int(z)) for z in r.numbers)]
        for chosen in _batches(fit, [len(records[i]) for i in fit], self._most):
            cells = [
                Structure(
                    Lattice(records[i].cell),
                    records[i].numbers,
                    records[i].positions,
                    coords_are_cartesian=True,
                )
                for i in chosen
            ]
            with quiet():
                found: Any = self._net.predict_structure(cells, task="efs", batch_size=len(cells))
            for i, labels in zip(chosen, [found] if len(chosen) == 1 else found, strict=True):
                done[i] = records[i].with_labels(
                    float(labels["e"]) * len(records[i]),
                    np.asarray(labels["f"], float),
                    np.asarray(labels["s"], float) / 160.21766208,  # GPa
                    self.source,
                )
        return done


class MatterSim:
    """MatterSim v1.0.0 of Yang et al. (arXiv 2405.04967): crystals to 5,000 K and 1,000 GPa, PBE(+U).

    The best teacher where atoms are hot or pressed. Its package brings the code; its weights are inside the
    wheel of an older release, and ``sciai.atoms.data.weights`` takes them from there.

    Args:
        model: "1M" or "5M", which is a little more accurate and three times as slow.
        angles_at_once: pairs of bonds at an atom in one pass, which are what time and memory go with.

    Raises:
        BadInput: when the package is not installed, or the weights cannot be had.
    """

    def __init__(self, model: str = "1M", angles_at_once: int = 30_000) -> None:
        with _needs("mattersim", MATTERSIM):
            from loguru import logger

            logger.disable("mattersim")
            from mattersim.datasets.utils.convertor import GraphConvertor
            from mattersim.forcefield.potential import Potential, batch_to_dict
        with quiet():
            self._net = Potential.from_checkpoint(
                str(mattersim_weights(model)), device="cpu", load_training_state=False
            )
        args = self._net.model.model_args
        self._graph = GraphConvertor("m3gnet", args["cutoff"], True, args["threebody_cutoff"])
        self._inputs = batch_to_dict
        self._most = angles_at_once
        self.source = f"mattersim-{model.lower()}"

    def knows(self, number: int) -> bool:
        """Whether it can label an element."""
        return 1 <= number <= 94 and number not in (84, 85, 86, 87, 88)

    def label(self, records: Sequence[Record]) -> list[Record | None]:
        """The same structures with its labels.

        A molecule is put into a box of its own, and has no stress. None for unknown elements, what is
        periodic in part, isolated atoms, noble gases outside of crystals (it has them bond), and cells so
        dense that they are no matter: one would take gigabytes.
        """
        from torch_geometric.data import Batch

        done: list[Record | None] = [None] * len(records)
        graphs: dict[int, Any] = {}
        for i, record in enumerate(records):
            boxed = not record.pbc.any() and not np.isin(record.numbers, _NOBLE).any()
            if (boxed or record.pbc.all()) and all(self.knows(int(z)) for z in record.numbers):
                atoms = record.to_atoms()
                if boxed:  # it knows crystals alone
                    atoms.center(vacuum=_BOX)
                    atoms.pbc = True
                atoms.wrap()
                with quiet():
                    graph = self._graph.convert(atoms)
                if (
                    graph is not None
                    and graph.edge_index.shape[1]
                    and int(graph.num_three_body) < 3 * self._most
                ):
                    graphs[i] = graph
        for chosen in _batches(list(graphs), [int(g.num_three_body) for g in graphs.values()], self._most):
            batch = Batch.from_data_list([graphs[i] for i in chosen])
            out = self._net.forward(self._inputs(batch, device="cpu"))
            energies = out["total_energy"].detach().double().numpy()
            forces = out["forces"].detach().double().numpy()
            stresses = out["stresses"].detach().double().numpy() / 160.21766208  # GPa
            start = 0
            for k, i in enumerate(chosen):
                n = len(records[i])
                stress = stresses[k] if records[i].pbc.all() else None
                done[i] = records[i].with_labels(
                    float(energies[k]), forces[start : start + n], stress, self.source
                )
                start += n
        return done


class ChgnetPbe:
    """Oxygen and fluorine on metals: what guests change by CHGNet, the metal by MatterSim.

    What learned the Materials Project has oxygen repelled by metals with a Hubbard U
    (``sciai.atoms.data.levels``), but knows the metals. CHGNet learned energies that are moved twice (Wang et
    al. 2021, Sci. Rep. 11, 15496): metals with a U onto the zero of PBE, which is kept, and anions by a
    constant for each, which is taken off again. Its own metals do not serve: vanadium lies .4 eV an atom
    elsewhere than MatterSim has it, and surfaces are a quarter too low. So a label is MatterSim's of the
    metal alone, and the difference that CHGNet finds between with and without guests.

    Raises:
        BadInput: when a package is not installed.
    """

    def __init__(self) -> None:
        self._change, self._metal = Chgnet(), MatterSim()
        self.source = "chgnet-pbe"

    def knows(self, number: int) -> bool:
        """Whether it can label an element."""
        return self._change.knows(number) and self._metal.knows(number)

    def label(self, records: Sequence[Record]) -> list[Record | None]:
        """The same structures with its labels.

        None where what is an anion is a matter of opinion: metals with oxygen, fluorine, carbon and hydrogen
        are labelled, and nothing that holds no metal.
        """
        fit = [i for i, r in enumerate(records) if not np.isin(r.numbers, _OTHER_ANIONS).any()]
        fit = [i for i in fit if not np.isin(records[i].numbers, _GUESTS).all()]
        bare = [from_atoms(_metal_of(records[i]), self.source) for i in fit]
        with_guests = self._change.label([records[i] for i in fit])
        without, true = self._change.label(bare), self._metal.label(bare)
        done: list[Record | None] = [None] * len(records)
        for i, a, b, c in zip(fit, with_guests, without, true, strict=True):
            done[i] = None if a is None or b is None or c is None else self._sum(a, b, c)
        return done

    def _sum(self, whole: Record, bare: Record, metal: Record) -> Record | None:
        if whole.energy is None or bare.energy is None or metal.energy is None:
            return None
        correction = sum(value * int((whole.numbers == z).sum()) for z, value in _CORRECTED.items())
        forces = np.array(whole.forces, float)
        forces[~np.isin(whole.numbers, _GUESTS)] += np.asarray(metal.forces) - np.asarray(bare.forces)
        stress = np.asarray(whole.stress) + np.asarray(metal.stress) - np.asarray(bare.stress)
        energy = whole.energy - correction + metal.energy - bare.energy
        return whole.with_labels(energy, forces, stress, self.source)


def _metal_of(record: Record) -> Atoms:
    atoms = record.to_atoms()
    atoms.calc = None
    alone: Atoms = atoms[~np.isin(atoms.numbers, _GUESTS)]
    return alone


class Xtb:
    """GFN2-xTB of Bannwarth et al. (doi 10.1021/acs.jctc.8b01176) through tblite: molecules, H to Rn.

    Raises:
        BadInput: when the package is not installed.
    """

    def __init__(self, method: str = "GFN2-xTB") -> None:
        with _needs("tblite"):
            from tblite.ase import TBLite
        self._calculator, self._method = TBLite, method
        self.source = method.split("-")[0].lower()

    def knows(self, number: int) -> bool:
        """Whether it can label an element."""
        return 1 <= number <= 86

    def label(self, records: Sequence[Record]) -> list[Record | None]:
        """The same structures with its labels; None for crystals and where the electrons did not converge."""
        done: list[Record | None] = []
        for record in records:
            if record.pbc.any() or not all(self.knows(int(z)) for z in record.numbers):
                done.append(None)
                continue
            atoms = record.to_atoms()
            # an odd number of electrons cannot all be paired
            atoms.calc = self._calculator(
                method=self._method, verbosity=0, multiplicity=1 + int(record.numbers.sum()) % 2
            )
            try:
                energy, forces = float(atoms.get_potential_energy()), np.array(atoms.get_forces(), float)
            except (
                Exception
            ):  # its own errors are several; a molecule without labels is left out, whatever the reason
                done.append(None)
                continue
            done.append(record.with_labels(energy, forces, None, self.source))
        return done


TEACHERS: dict[str, Callable[[], Teacher]] = {
    "7net-0": SevenNet,
    "7net-l3i5": lambda: SevenNet("7net-l3i5", 16),
    "chgnet": Chgnet,
    "chgnet-pbe": ChgnetPbe,
    "mattersim-1m": MatterSim,
    "mattersim-5m": lambda: MatterSim("5M", 10_000),
    "gfn2": Xtb,
}
"""Name -> what makes the teacher."""


def teacher(name: str) -> Teacher:
    """A teacher by its name.

    Raises:
        BadInput: on an unknown name, or when its package is not installed.
    """
    if name not in TEACHERS:
        raise BadInput(
            f"there is no teacher {name!r}", field="teacher", fix=f"choose from {', '.join(TEACHERS)}"
        )
    return TEACHERS[name]()


def _batches(items: list[int], sizes: list[int], most: int) -> Iterator[list[int]]:
    batch: list[int] = []
    atoms = 0
    for item, size in zip(items, sizes, strict=True):
        if batch and atoms + size > most:
            yield batch
            batch, atoms = [], 0
        batch.append(item)
        atoms += size
    if batch:
        yield batch


@contextmanager
def _needs(package: str, install: str = TEACHERS_EXTRA) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise BadInput(
            f"the teacher needs the package {package} ({error})", fix=f"pip install {install}"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """These packages print and warn on loading; a progress bar and JSON would suffer."""
    import contextlib

    with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        warnings.simplefilter("ignore")
        yield
