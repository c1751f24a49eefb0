"""`Potential`: load once, ask about any structure, drive any ASE workflow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciai.atoms.api.engines import (
    NET_PAIR_BYTES,
    CalculatorEngine,
    Calibration,
    Dispersion,
    Engine,
    NetEngine,
    Properties,
    independent,
)
from sciai.atoms.api.learned import evidence_of, unmeasured, with_dispersion, with_energies, without_zero
from sciai.atoms.api.record import Asked
from sciai.atoms.api.typical import Typical, typical_of
from sciai.atoms.checks import Evidence, Guard, Scene, after, before, govern
from sciai.atoms.checks import guard as guard_of
from sciai.atoms.train.differences import Related
from sciai.core.answer import Answer, Estimate, Finding, Level, Policy, Provenance, findings
from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import BadInput, CheckpointError
from sciai.core.listen import heard, quietly, tell
from sciai.core.resources import checkpoint_named, checkpoints_dir
from sciai.trust.stage import stage_findings, standing_of, use_class
from sciai.trust.support import KnnOfKind

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from sciai.atoms.api.calculator import GuardedCalculator
    from sciai.atoms.checks.scene import Edges
    from sciai.trust.gate import Standing

__all__ = ["Potential"]

SHIPPED = "atoms"
NO_CALIBRATION = "none: the spread is the calculator's own, or not known"


class Potential:
    """An interatomic potential that says how sure it is, and refuses where it should.

    Attributes:
        engine: what computes.
        evidence: what it learned from, as far as the checks need it.
        guard: the guard used where none is given.
        provenance: model, checkpoint hash, calibration.
        card: the model card; None for a foreign calculator.
        standing: release stage of the checkpoint; None for a foreign calculator.

    Example:
        >>> from ase.build import bulk
        >>> from ase.calculators.emt import EMT
        >>> pot = Potential.from_calculator(EMT())
        >>> answer = pot(bulk("Cu"))
        >>> answer.level.name, round(answer.unwrap().energy, 3)
        ('CAUTION', -0.006)
        >>> [f.check for f in answer.findings]
        ['no_spread']
    """

    def __init__(
        self,
        engine: Engine,
        evidence: Evidence,
        provenance: Provenance,
        *,
        guard: str | Guard = "default",
        card: Card | None = None,
        standing: Standing | None = None,
    ) -> None:
        self.engine, self.provenance, self.card = engine, provenance, card
        self.evidence = with_dispersion(evidence) if isinstance(engine, Dispersion) else evidence
        self.guard, self.standing = _guard(guard), standing

    @classmethod
    def load(
        cls,
        name: str | Path | None = None,
        *,
        device: str | None = None,
        dtype: str = "float32",
        guard: str | Guard = "default",
        d3: bool | str = False,
    ) -> Potential:
        """Load a checkpoint.

        Args:
            name: name of a shipped checkpoint, or the folder of one; None takes the shipped ``atoms``.
            device: cpu, cuda, ...; None takes a GPU where there is one.
            dtype: float32 (fast; what MD needs) or float64 (what phonons and small differences need).
            guard: default, strict, off, or a guard of one's own.
            d3: add D3(BJ) dispersion (extra ``d3``), for PBE or the functional named here.

        Raises:
            BadInput: no such checkpoint, device or dtype.
            CheckpointError: the checkpoint is damaged or of another domain.
        """
        import torch

        if dtype not in ("float32", "float64"):
            raise BadInput(f"{dtype!r} is no precision", field="dtype", fix="use float32 or float64")
        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            torch.zeros(1, device=where)
        except (RuntimeError, AssertionError) as error:
            raise BadInput(
                f"the device {where!r} cannot be used here", field="device", fix="use cpu"
            ) from error
        from sciai.atoms.model.interface import load_net

        path = _checkpoint_path(name)
        checkpoint = Checkpoint.load(path)
        if checkpoint.card.domain != "atoms":
            raise CheckpointError(f"{path} serves the domain {checkpoint.card.domain}, not atoms")
        net: Any = load_net(checkpoint)
        net = net.to(where)
        if dtype == "float64":  # element energies are double in any case and must not be rounded
            net = net.double()
        card = checkpoint.card
        said = card.calibration
        measured = Calibration.of(said)
        engine: Engine = NetEngine(
            net,
            card.name,
            device=where,
            calibration=measured,
            pair_bytes=float(card.extra.get("pair_bytes", NET_PAIR_BYTES)),
        )
        if d3:
            engine = Dispersion(engine, "pbe" if d3 is True else str(d3), where)
        calibration = (
            str(said.get("set") or "") if measured.known else "none: not calibrated, so no spread is told"
        )
        origin = Provenance(engine.name, checkpoint.hash, calibration=calibration)
        standing = standing_of(checkpoint, path)
        return cls(engine, evidence_of(net, card), origin, guard=guard, card=card, standing=standing)

    @classmethod
    def from_calculator(
        cls,
        calculator: Calculator | Sequence[Calculator],
        name: str | None = None,
        *,
        guard: str | Guard = "default",
        elements: Sequence[str] | None = None,
        cutoff: float | None = None,
        d3: bool | str = False,
    ) -> Potential:
        """The same checks and workflows around any ASE calculator: another potential, or a DFT code.

        Args:
            calculator: one, or several of which the disagreement is the spread.
            name: how answers name it; its class where not given.
            guard: default, strict, off, or a guard of one's own.
            elements: symbols of the elements it knows; None does not check that.
            cutoff: how far it looks, Å; None does not check for isolated atoms.
            d3: add D3(BJ) dispersion (extra ``d3``), for PBE or the functional named here.

        Raises:
            BadInput: no calculator, or something that is none.
        """
        members = list(calculator) if isinstance(calculator, Sequence) else [calculator]
        if not members or not all(hasattr(m, "get_property") and not isinstance(m, type) for m in members):
            fix = "give one, such as EMT() and not EMT, or a list of them"
            raise BadInput("that is no ASE calculator", field="calculator", fix=fix)
        label = name or " + ".join(type(member).__name__ for member in members)
        known = None
        if elements is not None:
            from ase.data import atomic_numbers

            unknown = [symbol for symbol in elements if symbol not in atomic_numbers]
            if unknown:
                raise BadInput(f"{unknown[0]!r} is no element", field="elements")
            known = frozenset(atomic_numbers[symbol] for symbol in elements)
        engine: Engine = CalculatorEngine(members, label, cutoff)
        if d3:
            engine = Dispersion(engine, "pbe" if d3 is True else str(d3))
        calibration = (
            f"disagreement of {len(members)} calculators, not calibrated"
            if len(members) > 1
            else NO_CALIBRATION
        )
        origin = Provenance(engine.name, calibration=calibration)
        return cls(engine, Evidence.none(known), origin, guard=guard)

    def __call__(self, atoms: Atoms) -> Answer[Properties]:
        """Energy, forces and stress of one structure, with spread and verdict.

        The spread is ``{"energy": eV, "energy_per_atom": eV, "forces": eV/Å per component, shape (n,)}``,
        standard deviations. A refused answer says why; ``unwrap()`` raises it.
        """
        return self.batch([atoms])[0]

    def batch(self, structures: Iterable[Atoms]) -> list[Answer[Properties]]:
        """Answers for many structures, computed in as few passes as memory allows.

        Args:
            structures: any number; one that is refused does not stop the others.

        Raises:
            BadInput: something that is no ASE structure, or has atoms of no element.
        """
        structures = _checked(structures)
        with quietly():
            # of one structure the engine's own list of pairs serves the checks, too
            listed = (
                self.engine.edges if len(structures) == 1 and isinstance(self.engine, NetEngine) else None
            )
            scenes = [self._scene(atoms, listed) for atoms in structures]
            found = [self._before(scene) for scene in scenes]
            good = [k for k, findings in enumerate(found) if all(f.level < Level.REFUSE for f in findings)]
            values = dict(zip(good, self.engine.compute([structures[k] for k in good]), strict=True))
            answers = [self._finish(scene, found[k], values.get(k)) for k, scene in enumerate(scenes)]
        if heard():
            for atoms, answer in zip(structures, answers, strict=True):
                asked = {"atoms": atoms, "potential": self}
                tell(Asked("energy", asked, self.distance(atoms, answer)), answer)
        return answers

    @cached_property
    def typical(self) -> Mapping[str, Typical]:
        """Errors that its derived figures usually have, as measured; none where dispersion is added."""
        return typical_of(self.card) if isinstance(self.engine, NetEngine) else {}

    @cached_property
    def _zeros(self) -> Any:
        """Elements whose zero of energy was learned; None where that is not known."""
        return with_energies(self.card)

    @cached_property
    def related(self) -> Related | None:
        """How far differences of energies usually are off, as measured; None where they never were."""
        around = None if self.evidence.support is None else self.evidence.support.measure
        if self.card is None or not isinstance(around, KnnOfKind):
            return None
        return Related.of(self.card.calibration.get("differences"), around.scale)

    def stage_findings(self) -> list[Finding]:
        """What its answers say of its release and of the declared use; see ``sciai.trust.stage``."""
        use = use_class()
        standing, declared, said = self._said
        if standing is not self.standing or declared != use:
            said = findings([stage_findings], self.standing, policy=self._policy)
            self._said = self.standing, use, said
        return said

    def calculator(self, guard: str | Guard | None = None) -> GuardedCalculator:
        """An ASE calculator that drives optimisers, MD, NEB and everything else in ASE.

        Args:
            guard: ``default``, ``strict`` or ``off``; None takes the potential's own. Where an answer is
                refused, the calculator raises ``sciai.core.answer.Refused``: what ran stops with a sentence.

        Example:
            >>> from ase.build import bulk
            >>> from ase.calculators.emt import EMT
            >>> atoms = bulk("Cu")
            >>> atoms.calc = Potential.from_calculator(EMT()).calculator()
            >>> round(atoms.get_potential_energy(), 3), atoms.calc.answer.level.name
            (-0.006, 'CAUTION')
        """
        from sciai.atoms.api.calculator import GuardedCalculator

        return GuardedCalculator(self.with_guard(self.guard if guard is None else guard))

    def with_guard(self, guard: str | Guard) -> Potential:
        """The same potential with another guard, and with nothing kept from earlier steps."""
        return Potential(
            independent(self.engine),
            self.evidence,
            self.provenance,
            guard=guard,
            card=self.card,
            standing=self.standing,
        )

    def picture(self, atoms: Atoms) -> Any:
        """A matplotlib figure of a structure, its atoms coloured by the spread of their forces."""
        from sciai.atoms.api.pictures import structure_figure

        answer = self(atoms)
        spread = None if answer.estimate is None else answer.estimate.spread["forces"]
        return structure_figure(atoms, spread, title=f"{atoms.get_chemical_formula()}: {answer.level.name}")

    def _repr_html_(self) -> str:
        from html import escape

        rows = {
            "model": self.provenance.model,
            "checkpoint": self.provenance.checkpoint[:12] or "-",
            "elements": self.evidence.known_text(),
            "guard": self.guard.name,
            "spread": self.provenance.calibration,
        }
        cells = "".join(f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in rows.items())
        return f"<table>{cells}</table>"

    def __getstate__(self) -> dict[str, Any]:
        # the checks are functions made on the spot: whoever unpickles, another process mostly, makes its own
        return {name: value for name, value in self.__dict__.items() if name != "_checks"}

    def __repr__(self) -> str:
        return f"Potential({self.provenance.model!r}, guard={self.guard.name!r})"

    def _scene(self, atoms: Atoms, listed: Callable[[Atoms], Edges] | None = None) -> Scene:
        return Scene(atoms, self.engine.cutoff, self.engine.pair_bytes, listed)

    def _before(self, scene: Scene) -> list[Finding]:
        """Findings on the question alone."""
        if not self.guard.active:
            return self.stage_findings()
        return findings(self._checks[0], scene, policy=self.guard.policy) + self.stage_findings()

    @cached_property
    def _checks(self) -> tuple[Any, Any]:
        # of a calibration that misses one of both spreads, the same is said of every structure
        net = self.engine.engine if isinstance(self.engine, Dispersion) else self.engine
        half = unmeasured(net.calibration) if isinstance(net, NetEngine) else []
        asked = after(self.guard, self.evidence)
        return before(self.guard, self.evidence), (*asked, lambda *_: half) if half else asked

    @cached_property
    def _said(self) -> tuple[Standing | None, str | None, list[Finding]]:
        """Of which standing and which declared use what was said last."""
        return None, None, []

    @property
    def _policy(self) -> Policy:
        return self.guard.policy or guard_of("default").policy

    def distance(self, atoms: Atoms, answer: Answer[Properties]) -> float | None:
        """How far one atom of the structure, picked by its content, lies from training.

        One atom, because held-out distances are those of single atoms.
        """
        around, value = self.evidence.support, None if answer.estimate is None else answer.estimate.value
        if around is None or value is None or value.descriptor is None or not len(value.descriptor):
            return None
        picked = int(abs(value.energy) * 1e6) % len(value.descriptor)
        own = slice(picked, picked + 1)
        return float(around.distance(value.descriptor[own], atoms.numbers[own])[0])

    def _finish(self, scene: Scene, found: Sequence[Finding], value: Properties | None) -> Answer[Properties]:
        if value is None:
            return Answer(None, tuple(found), self.provenance)
        guessed = without_zero(self._zeros, scene.numbers)
        estimate = _estimate(replace(value, energy_sd=float("nan")) if guessed else value)
        if not self.guard.active:
            return Answer(estimate, tuple(found), self.provenance)
        checks = self._checks[1] if not guessed else (*self._checks[1], lambda *_: guessed)
        more = findings(checks, scene, estimate, policy=self.guard.policy)
        return govern(scene, Answer(estimate, (*found, *more), self.provenance))


def _estimate(value: Properties) -> Estimate[Properties]:
    n = max(len(value.forces), 1)
    force = np.full(len(value.forces), np.nan) if value.force_sd is None else value.force_sd
    spread = {"energy": value.energy_sd, "energy_per_atom": value.energy_sd / n, "forces": force}
    return Estimate(value, spread, "eV, eV/Å, eV/Å^3")


def _checked(structures: Iterable[Atoms]) -> list[Atoms]:
    from ase.data import chemical_symbols

    if hasattr(structures, "positions"):
        raise BadInput(
            "that is one structure", field="structures", fix="give a list of them, or call the potential"
        )
    found = list(structures)
    for given in found:
        if not hasattr(given, "positions"):
            raise BadInput(
                f"a {type(given).__name__} is no ASE structure",
                field="atoms",
                fix="a file is read by sciai.atoms.read, several structures are answered by batch",
            )
        odd = given.numbers[(given.numbers < 0) | (given.numbers >= len(chemical_symbols))]
        if odd.size:
            raise BadInput(
                f"{odd[0]} is the number of no element", field="numbers", fix="give atomic numbers up to 118"
            )
    return found


def _guard(guard: str | Guard) -> Guard:
    return guard if isinstance(guard, Guard) else guard_of(guard)


def _checkpoint_path(name: str | Path | None) -> Path:
    given = checkpoints_dir() / SHIPPED if name is None else checkpoint_named(name)
    if given.is_dir():
        return given
    there = sorted(p.name for p in checkpoints_dir().glob("atoms*") if p.is_dir())
    fix = f"there are {', '.join(there)}; or give the folder of one" if there else "give the folder of one"
    raise BadInput(f"there is no checkpoint {str(name or SHIPPED)!r}", field="name", fix=fix)
