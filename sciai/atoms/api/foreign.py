"""Potentials of others by name, wrapped: for comparison, and where ours does not reach."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from sciai.atoms.api.potential import Potential

__all__ = ["FOREIGN", "named"]

FOREIGN: Final = {
    "emt": "ASE's effective medium theory: Al Cu Ag Au Ni Pd Pt, instant, for trying things out",
    "lj": "ASE's Lennard-Jones, argon: for trying things out",
    "chgnet": "CHGNet 0.3.0 (extra teachers)",
    "7net-0": "SevenNet-0 (extra teachers)",
    "mattersim-1m": "MatterSim v1.0.0 with a million weights (package mattersim)",
}
_EMT: Final = ("H", "C", "N", "O", "Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au")


def named(
    model: str | Path | None,
    *,
    guard: str = "default",
    device: str | None = None,
    dtype: str = "float32",
    d3: bool | str = False,
) -> Potential:
    """A potential by name: a checkpoint of ours, or one of ``FOREIGN``.

    Args:
        model: None for the shipped checkpoint, its name, a folder, or a key of ``FOREIGN``.
        guard: default, strict or off.
        device: cpu, cuda, ...; None chooses.
        dtype: float32 or float64; for checkpoints.
        d3: add D3(BJ) dispersion.

    Raises:
        BadInput: no such model, or one whose package is not installed.

    Example:
        >>> named("emt").provenance.model
        'EMT'
    """
    from sciai.atoms.api.potential import Potential

    name = str(model).lower() if model is not None else ""
    if name not in FOREIGN:
        return Potential.load(model, device=device, dtype=dtype, guard=guard, d3=d3)
    options: dict[str, Any] = {"guard": guard, "d3": d3}
    if name == "emt":
        from ase.calculators.emt import EMT

        return Potential.from_calculator(EMT(), elements=_EMT, **options)
    if name == "lj":
        from ase.calculators.lj import LennardJones

        argon = LennardJones(sigma=3.405, epsilon=0.010323, rc=10.2, smooth=True)
        return Potential.from_calculator(argon, "Lennard-Jones argon", cutoff=10.2, **options)
    from sciai.atoms.data.teachers import MATTERSIM, TEACHERS_EXTRA, quiet

    # they print and warn, when loaded and when asked: figures and JSON on stdout would suffer
    warnings.filterwarnings("ignore", category=UserWarning, module=r"(chgnet|sevenn)\.")
    try:
        calculator: Any
        if name == "chgnet":
            with quiet():
                from chgnet.model.dynamics import CHGNetCalculator

                calculator = CHGNetCalculator(use_device=device or "cpu", verbose=False)
            return Potential.from_calculator(calculator, "CHGNet", cutoff=6.0, **options)
        if name == "mattersim-1m":
            from sciai.atoms.data.weights import mattersim_weights

            with quiet():
                from loguru import logger
                from mattersim.forcefield import MatterSimCalculator

                logger.disable("mattersim")
                calculator = MatterSimCalculator(
                    load_path=str(mattersim_weights("1M")), device=device or "cpu"
                )
            return Potential.from_calculator(calculator, "MatterSim-v1.0.0-1M", cutoff=5.0, **options)
        with quiet():
            from sevenn.calculator import SevenNetCalculator

            calculator = SevenNetCalculator("7net-0", device=device or "cpu")
        return Potential.from_calculator(calculator, "SevenNet-0", cutoff=5.0, **options)
    except ImportError as error:
        raise BadInput(
            f"{name} is not installed",
            field="model",
            fix=f"pip install {MATTERSIM if name == 'mattersim-1m' else TEACHERS_EXTRA}",
        ) from error
