"""An ASE calculator that checks each question and each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from sciai.core.answer import Level, Refused
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.engines import Properties
    from sciai.atoms.api.potential import Potential
    from sciai.core.answer import Answer

__all__ = ["GuardedCalculator"]


class GuardedCalculator(Calculator):
    """Drives ASE; raises ``Refused`` where the answer is refused.

    ``results`` also carry ``energy_sd`` (eV) and ``forces_sd`` (eV/Å per component, per atom); ``answer`` is
    the whole last answer with its findings; ``worst`` the worst level since the calculator was made.

    Attributes:
        potential: what is asked.
        answer: the last answer; None before the first.
        worst: worst level so far.
    """

    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]
    default_parameters: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]
    nolabel = True

    def __init__(self, potential: Potential, **kwargs: Any) -> None:
        self.potential = potential
        self.answer: Answer[Properties] | None = None
        self.worst = Level.OK
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]

    def forget(self) -> None:
        """Drop results and kept neighbours: the next answer depends on the structure alone.

        Sums of floating-point numbers depend on the order of the neighbours; MD that has to go on bit for
        bit after a restart forgets wherever it saves.
        """
        self.reset()  # type: ignore[no-untyped-call]
        self.potential.engine.forget()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Ask the potential; ASE calls this when results are missing or out of date.

        Raises:
            Refused: the answer is refused; the message says why, and which atom.
            PropertyNotImplementedError: a property that this potential or structure does not have.
        """
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        if self.atoms is None:
            raise BadInput("a calculation without a structure", field="atoms")
        answer = self.potential(self.atoms)
        self.answer, self.worst = answer, max(self.worst, answer.level)
        if answer.level >= Level.REFUSE or answer.estimate is None:
            self.results = {}
            raise Refused(answer)
        value = answer.estimate.value
        self.results = {
            "energy": value.energy,
            "free_energy": value.energy,
            "forces": value.forces.copy(),
            "energy_sd": value.energy_sd,
            "forces_sd": np.asarray(answer.estimate.spread["forces"]).copy(),
        }
        if value.energies is not None:
            self.results["energies"] = value.energies.copy()
        if value.stress is not None:
            self.results["stress"] = value.stress.copy()
        missing = [name for name in properties if name not in self.results]
        if missing:
            why = {
                "stress": "no stress: the structure is not periodic in all directions, or the potential "
                "has none"
            }.get(missing[0], f"this potential has no {missing[0]}")
            raise PropertyNotImplementedError(why)
