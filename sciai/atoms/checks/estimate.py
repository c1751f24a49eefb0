"""Checks of the estimate: is it a number, how sure is it, and does it lie where something was learned?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sciai.atoms.checks.evidence import Evidence
from sciai.atoms.checks.limits import Guard
from sciai.atoms.checks.scene import Scene, name_atom
from sciai.core.answer import Estimate, Finding, Level
from sciai.trust.limits import finite

__all__ = ["Raw", "after"]

Check = Callable[[Scene, Estimate[Any]], Iterable[Finding]]


class Raw(Protocol):
    """What the checks need of a potential's value."""

    @property
    def energy(self) -> float:
        """eV."""
        ...

    @property
    def forces(self) -> npt.NDArray[np.float64]:
        """Shape (n, 3), eV/Å."""
        ...

    @property
    def descriptor(self) -> npt.NDArray[np.float64] | None:
        """Shape (n, d); None where the potential has none."""
        ...


def after(guard: Guard, evidence: Evidence) -> tuple[Check, ...]:
    """The checks of energy, forces and their spread, for ``sciai.core.answer.ask``.

    The estimate's value is a ``Raw``, its spread a mapping with ``energy`` (eV) and ``forces`` (eV/Å, per
    atom).

    Args:
        guard: limits.
        evidence: what the potential learned from.
    """
    from sciai.atoms.checks.look import FORCE, SPREAD, weigh

    limits = guard.limits

    def numbers(scene: Scene, estimate: Estimate[Raw]) -> Iterable[Finding]:
        raw = estimate.value
        yield from finite(raw.energy, "energy")
        yield from finite(raw.forces, "forces")
        size = np.linalg.norm(raw.forces, axis=1)
        if np.isfinite(size).all() and size.size and size.max() > limits.force_large:
            worst = int(np.argmax(size))
            message = (
                f"a force of {size[worst]:.0f} eV/Å; no matter has that. Look at the distances around it"
            )
            yield Finding("force_large", Level.REFUSE, message, name_atom(scene.atoms, worst))

    def spread(scene: Scene, estimate: Estimate[Raw]) -> Iterable[Finding]:
        energy, force = _spread(scene, estimate)
        if np.isnan(energy) and np.isnan(force).all():
            message = "this potential states no uncertainty; compare with another one before relying on it"
            yield Finding("no_spread", Level.CAUTION, message)
            return
        if energy > limits.energy_spread:
            message = (
                f"the energy is uncertain by {1000 * energy:.0f} meV/atom (limit "
                f"{1000 * limits.energy_spread:.0f}); use DFT for it"
            )
            yield Finding("energy_spread", Level.CAUTION, message, "energy")
        bad = np.flatnonzero(force > limits.force_spread)
        if len(bad):
            worst = int(bad[np.argmax(force[bad])])
            message = (
                f"the forces on {len(bad)} of {len(force)} atoms are uncertain by more than "
                f"{limits.force_spread:g} eV/Å (worst {force[worst]:.2f})"
            )
            yield Finding("force_spread", Level.CAUTION, message, name_atom(scene.atoms, worst))

    def support(scene: Scene, estimate: Estimate[Raw]) -> Iterable[Finding]:
        descriptor = estimate.value.descriptor
        if descriptor is None or evidence.support is None:
            if evidence.learned:
                message = "the checkpoint does not say what it learned from: support was not checked"
                yield Finding("no_support", Level.CAUTION, message)
            return
        far, _ = evidence.support.far(descriptor, scene.atoms.numbers)
        if len(far):
            worst = int(far[0])
            why = evidence.reason(scene, worst)
            message = (
                f"the surroundings of {len(far)} of {len(descriptor)} atoms are unlike any in training "
                f"(farthest: {name_atom(scene.atoms, worst)}{f', {why}' if why else ''}); "
                "do not rely on the spread there"
            )
            names = ", ".join(name_atom(scene.atoms, int(k)) for k in far[:3])
            yield Finding("support", Level.CAUTION, message, names + (" ..." if len(far) > 3 else ""))

    def answer(scene: Scene, estimate: Estimate[Raw]) -> Iterable[Finding]:
        raw = estimate.value
        forces = np.ascontiguousarray(raw.forces, np.float64)
        most = limits.force_large, limits.energy_spread, limits.force_spread
        energy_sd, force_sd = _spread(scene, estimate)
        odd = weigh(float(raw.energy), forces, energy_sd, force_sd, *most)
        if odd & FORCE:
            yield from numbers(scene, estimate)
        if odd & SPREAD:
            yield from spread(scene, estimate)
        yield from support(scene, estimate)

    return (answer,)


def _spread(scene: Scene, estimate: Estimate[Raw]) -> tuple[float, npt.NDArray[np.float64]]:
    """Of the energy, eV per atom; of force components, eV/Å, shape (n,)."""
    spread = estimate.spread
    energy = float(spread["energy"]) / max(len(scene.numbers), 1)
    return energy, np.ascontiguousarray(spread["forces"], np.float64)
