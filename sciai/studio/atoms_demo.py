"""The atoms part of the demo: relax a crystal from a file, compress it, heat it, and show what is known."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sciai.core.answer import Answer, Finding
from sciai.core.resources import checkpoints_dir, data_dir
from sciai.studio.atoms import ALWAYS, LIMITS, figures
from sciai.studio.report import Picture, Section, Table, Tile, png_of

if TYPE_CHECKING:
    from sciai.atoms.api.potential import Potential

__all__ = ["Demonstration", "available", "demonstrate"]

Step = Callable[[float, str], None]
SAMPLE: Final = "NaCl.cif"
MD_STEPS: Final = 200
MEASURED: Final = (
    "Measured: a = 5.5950 Å at 0 K, B = 26.6 GPa; PBE itself gives about 5.70 Å and 23 to 24 GPa."
)


@dataclass(frozen=True)
class Demonstration:
    """Sections of the report, and the same figures as data."""

    sections: list[Section]
    figures: Mapping[str, Any]


def available() -> bool:
    """Whether the potential ships with this installation."""
    return (checkpoints_dir() / "atoms" / "MANIFEST.json").is_file()


def demonstrate(out: Path, *, step: Step, potential: Potential | None = None) -> Demonstration:
    """Run the atoms domain's main job.

    Args:
        out: folder of the demo; runs go to ``out/atoms``.
        step: progress callback.
        potential: None takes the shipped one.
    """
    from sciai.atoms.api.dynamics import md
    from sciai.atoms.api.equation import eos, eos_figure
    from sciai.atoms.api.files import read
    from sciai.atoms.api.pictures import structure_figure
    from sciai.atoms.api.potential import Potential
    from sciai.atoms.api.relaxation import relax
    from sciai.atoms.api.tiers import elements_figure
    from sciai.atoms.api.trajectory import dynamics_figure

    begin = time.perf_counter()
    step(0.05, "atoms: loading the potential")
    pot = potential or Potential.load()
    folder = out / "atoms"
    shutil.rmtree(folder, ignore_errors=True)
    sample = data_dir() / "atoms" / SAMPLE
    step(0.1, "atoms: relaxing a crystal")
    rest = relax(read(sample), pot, folder / "relax")
    parts: dict[str, Answer[Any]] = {"relax": rest}
    pictures: list[Picture] = []
    if rest.estimate is not None and rest.level.name != "REFUSE":
        crystal = rest.estimate.value.atoms
        spread = rest.estimate.spread["forces"]
        caption = "The relaxed crystal; the colour is how unsure the potential is of each atom's force."
        pictures.append(Picture(png_of(structure_figure(crystal, spread, title="relaxed")), caption))
        step(0.3, "atoms: compressing and stretching it")
        parts["eos"] = eos(crystal, pot, folder / "eos")
        if parts["eos"].estimate is not None:
            caption = "Energy against volume; the minimum and its curvature are density and stiffness."
            pictures.append(Picture(png_of(eos_figure(parts["eos"].estimate.value)), caption))
        step(0.5, "atoms: heating it")
        hot = md(
            crystal * (2, 2, 2), pot, folder / "md", temperature=300.0, steps=MD_STEPS, on_refusal="mark"
        )
        parts["md"] = hot
        if hot.estimate is not None:
            caption = (
                "Molecular dynamics at 300 K: the conserved energy is the check on forces and time step."
            )
            pictures.append(Picture(png_of(dynamics_figure(hot.estimate.value)), caption))
    step(0.95, "atoms: drawing")
    caption = "What the potential knows of each element; below the symbol the atoms that it learned from."
    pictures.append(Picture(png_of(elements_figure(pot)), caption))
    section = _section(parts, pot, pictures, time.perf_counter() - begin)
    told = {name: answer.to_dict(max_items=200) for name, answer in parts.items()}
    return Demonstration([section], told)


def _section(
    parts: Mapping[str, Answer[Any]], pot: Potential, pictures: list[Picture], seconds: float
) -> Section:
    rows = {name: figures(name, a) if a.level.name != "REFUSE" else [] for name, a in parts.items()}
    titles = {"relax": "Relaxation", "eos": "Equation of state", "md": "Dynamics at 300 K"}
    chosen = {
        "relax": ("energy per atom", "volume per atom", "largest force left"),
        "eos": ("bulk modulus",),
        "md": ("temperature", "energy drift"),
    }
    tiles = [
        Tile(value, label, f"± {spread}" if spread != "-" else titles[name])
        for name, names in chosen.items()
        for label, value, spread in rows.get(name, [])
        if label in names
    ]
    findings: dict[tuple[str, str], Finding] = {}
    for answer in parts.values():
        for finding in answer.findings:
            findings.setdefault((finding.check, finding.message), finding)
    lead = (
        f"Rock salt from a CIF file, answered by {pot.provenance.model} in {seconds:.0f} s: relaxed with its "
        "symmetry kept, compressed and stretched, and run at 300 K with every tenth step checked. " + MEASURED
    )
    return Section(
        title="Atoms: relax a crystal and run it, with a verdict",
        lead=lead,
        level=max(answer.level for answer in parts.values()),
        findings=tuple(findings.values()),
        tiles=tiles,
        tables=[
            Table(titles[name], ["figure", "value", "spread"], found) for name, found in rows.items() if found
        ],
        pictures=pictures,
        limits=(*LIMITS["relax"], *LIMITS["md"], *ALWAYS),
        commands=(
            f"sciai atoms relax {SAMPLE}",
            "sciai atoms eos NaCl-relax/relaxed.cif",
            f"sciai atoms md NaCl-relax/relaxed.cif --supercell 2x2x2 --steps {MD_STEPS}",
            "sciai atoms elements -o elements.png",
        ),
    )
