"""Reports of atoms runs: the figures, findings and pictures of a folder as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from sciai.core.answer import Answer
from sciai.studio.report import Picture, Report, Section, Table, Tile, write

__all__ = ["TITLES", "figures", "report_of", "section_of"]

TITLES: Final = {
    "relax": "Relaxation",
    "md": "Molecular dynamics",
    "eos": "Equation of state",
    "elastic": "Elastic constants",
    "phonons": "Phonons",
    "neb": "Reaction path",
    "surface": "Surface",
    "adsorb": "Adsorption",
    "screen": "Screen",
}

LIMITS: Final = {
    "relax": ("A relaxation ends in the nearest valley, not in the lowest one.",),
    "md": ("Classical nuclei: no zero-point motion, which matters for hydrogen and at low temperature.",),
    "phonons": (
        "Harmonic; no splitting of longitudinal and transverse optical modes (Born charges are not known).",
    ),
    "neb": ("One path of least energy near the first guess; there may be lower ones.",),
    "adsorb": ("The sites tried are those of the given orientation of the molecule.",),
}
ALWAYS: Final = (
    "A spread is one standard deviation of what is known of the error; where only the fit's own is known, "
    "the findings say so.",
)

Row = tuple[str, str, str]


def figures(kind: str, answer: Answer[Any]) -> list[Row]:
    """What is worth showing of an answer: name, value with unit, spread.

    Args:
        kind: relax, md, eos, elastic, phonons, neb, surface, adsorb, screen or evaluate.
        answer: not refused.
    """
    if answer.estimate is None:
        return []
    return _ROWS[kind](answer.estimate.value, answer.estimate.spread)


def section_of(answer: Answer[Any], kind: str, pictures: list[Picture], lead: str) -> Section:
    """The answer of a run as a section of a report."""
    rows = [] if answer.level.name == "REFUSE" else figures(kind, answer)
    tiles = [Tile(value, name, f"± {spread}" if spread != "-" else "") for name, value, spread in rows[:6]]
    tables = [Table("All figures", ["figure", "value", "spread"], rows)] if rows else []
    return Section(
        title=TITLES[kind],
        lead=lead,
        level=answer.level,
        findings=answer.findings,
        tiles=tiles,
        tables=tables,
        pictures=pictures,
        limits=(*LIMITS.get(kind, ()), *ALWAYS),
    )


def report_of(answer: Answer[Any], kind: str, folder: Path) -> Path:
    """Write ``report.html`` into the folder of a run, from its answer and its pictures.

    Args:
        answer: of the run.
        kind: which workflow it was.
        folder: where its pictures are.
    """
    from sciai import __version__

    order = {"structure.png": 0, "slab.png": 0, "adsorbed.png": 0}
    found = sorted(folder.glob("*.png"), key=lambda p: (order.get(p.name, 1), p.name))
    pictures = [Picture(path.read_bytes(), path.stem) for path in found]
    origin = answer.provenance
    made = f"sciai {__version__} · {origin.model} · {origin.checkpoint[:12] or 'no checkpoint'}"
    lead = f"Answered by {origin.model}. Spread: {origin.calibration}."
    page = Report(f"sciai atoms: {TITLES[kind].lower()}", made, (section_of(answer, kind, pictures, lead),))
    return write(page, folder / "report.html")


def _sd(value: Any, unit: str, digits: int = 3) -> str:
    number = float(np.max(value)) if np.size(value) else float("nan")
    return "-" if number != number else f"{number:.{digits}g} {unit}".strip()


def _relax(v: Any, s: Any) -> list[Row]:
    rows: list[Row] = [
        ("energy per atom", f"{v.energy_per_atom:.4f} eV", _sd(s["energy_per_atom"], "eV")),
        ("gained", f"{-1000 * v.energy_change:.1f} meV/atom", "-"),
        ("largest force left", f"{v.max_force:.4f} eV/Å", _sd(s["forces"], "eV/Å")),
    ]
    if v.volume is not None:
        change = "" if v.volume_change is None else f" ({100 * v.volume_change:+.2f} %)"
        rows.append(("volume per atom", f"{v.volume:.3f} Å³{change}", _sd(s.get("volume", np.nan), "Å³", 2)))
    if v.stress is not None:
        rows.append(("largest stress left", f"{float(np.abs(v.stress).max()):.3f} GPa", "-"))
    if v.spacegroup is not None:
        rows.append(("space group", " → ".join(dict.fromkeys(v.spacegroup)), "-"))
    a, b, c = np.linalg.norm(v.structure.cell, axis=1)
    if v.volume is not None:
        rows.append(("cell lengths", f"{a:.4f} {b:.4f} {c:.4f} Å", "-"))
    return [*rows, ("steps", f"{v.steps}", "-"), ("converged", "yes" if v.converged else "no", "-")]


def _md(v: Any, s: Any) -> list[Row]:
    rows: list[Row] = [
        ("time", f"{v.time:.3f} ps ({v.steps} steps)", "-"),
        ("temperature", f"{v.temperature:.0f} K", _sd(s["temperature"], "K")),
    ]
    if v.drift is not None:
        rows.append(("energy drift", f"{1000 * v.drift:+.3f} meV/atom/ps", "-"))
    if v.pressure is not None:
        rows.append(("pressure", f"{v.pressure:.2f} GPa", "-"))
    if v.volume is not None:
        rows.append(("volume per atom", f"{v.volume / len(v.structure.symbols):.3f} Å³", "-"))
    return [
        *rows,
        ("worst force spread, last frame", _sd(s["forces"], "eV/Å"), "-"),
        ("frames", f"{v.frames}", "-"),
        ("frames refused", f"{len(v.marked)}", "-"),
    ]


def _eos(v: Any, s: Any) -> list[Row]:
    return [
        ("volume per atom", f"{v.volume:.4f} Å³", _sd(s["volume"], "Å³", 2)),
        ("bulk modulus", f"{v.bulk_modulus:.2f} GPa", _sd(s["bulk_modulus"], "GPa", 2)),
        ("its derivative", f"{v.derivative:.2f}", _sd(s["derivative"], "", 2)),
        ("energy per atom", f"{v.energy:.4f} eV", _sd(s["energy"], "eV", 2)),
        ("fit residual", f"{1000 * v.residual:.3f} meV/atom", "-"),
    ]


def _elastic(v: Any, s: Any) -> list[Row]:
    names = [(0, 0), (0, 1), (0, 2), (2, 2), (3, 3), (5, 5)]
    constants = [
        (f"C{i + 1}{j + 1}", f"{v.constants[i, j]:.1f} GPa", _sd(s["constants"][i, j], "GPa", 2))
        for i, j in names
    ]
    return [
        ("bulk modulus (Hill)", f"{v.bulk[0]:.1f} GPa", _sd(s["bulk"], "GPa", 2)),
        ("shear modulus (Hill)", f"{v.shear[0]:.1f} GPa", _sd(s["shear"], "GPa", 2)),
        ("shear modulus, Reuss to Voigt", f"{v.shear[1]:.1f} to {v.shear[2]:.1f} GPa", "-"),
        ("Young's modulus", f"{v.young:.1f} GPa", "-"),
        ("Poisson's ratio", f"{v.poisson:.3f}", "-"),
        ("anisotropy", f"{v.anisotropy:.3f}", "-"),
        ("stable", "yes" if v.stable else "no", "-"),
        ("axes", v.axes, "-"),
        *constants,
    ]


def _phonons(v: Any, s: Any) -> list[Row]:
    row = np.abs(v.thermal[:, 0] - 300).argmin()
    return [
        ("highest frequency", f"{v.frequencies.max():.2f} THz", _sd(s["frequencies"], "THz", 2)),
        ("lowest frequency", f"{round(v.lowest, 3) + 0.0:.3f} THz", _sd(s["frequencies"], "THz", 2)),
        ("imaginary modes", "yes" if v.imaginary else "none", "-"),
        ("heat capacity at 300 K", f"{v.thermal[row, 3]:.2f} J/K per mol of {v.formula}", "-"),
        ("entropy at 300 K", f"{v.thermal[row, 2]:.2f} J/K per mol of {v.formula}", "-"),
        ("supercell", "x".join(map(str, v.supercell)), "-"),
    ]


def _neb(v: Any, s: Any) -> list[Row]:
    return [
        ("barrier", f"{v.barrier:.3f} eV", _sd(s["barrier"], "eV")),
        ("barrier back", f"{v.reverse:.3f} eV", _sd(s["reverse"], "eV")),
        ("end minus beginning", f"{v.difference:+.3f} eV", _sd(s["difference"], "eV")),
        ("path length", f"{v.distance[-1]:.2f} Å", "-"),
        ("largest force left", f"{v.max_force:.3f} eV/Å", "-"),
        ("converged", "yes" if v.converged else "no", "-"),
    ]


def _surface(v: Any, s: Any) -> list[Row]:
    return [
        ("surface energy", f"{v.energy:.3f} J/m²", _sd(s["energy"], "J/m²")),
        ("before relaxation", f"{v.unrelaxed:.3f} J/m²", "-"),
        ("area", f"{v.area:.2f} Å²", "-"),
        ("atoms", f"{len(v.structure.symbols)}", "-"),
        ("converged", "yes" if v.converged else "no", "-"),
    ]


def _adsorb(v: Any, s: Any) -> list[Row]:
    tried = [
        (f"site {k + 1}: {kind}", f"{energy:+.3f} eV" + ("" if stayed else " (left)"), "-")
        for k, (kind, energy, stayed) in enumerate(v.tried)
    ]
    return [
        ("adsorption energy", f"{v.energy:+.3f} eV", _sd(s["energy"], "eV")),
        ("site it started from", v.site, "-"),
        ("height", f"{v.height:.2f} Å", "-"),
        *tried,
    ]


def _screen(v: Any, s: Any) -> list[Row]:
    best = v.rows[0] if v.rows else {}
    return [
        ("answered", f"{v.answered}", "-"),
        ("refused or unreadable", f"{v.refused}", "-"),
        ("first", f"{best.get('formula', '-')} ({Path(best.get('file', '-')).name})", "-"),
        ("median energy spread", _sd(s["energy_per_atom"], "eV/atom"), "-"),
    ]


def _evaluate(v: Any, s: Any) -> list[Row]:
    def cell(value: float | None, factor: float, unit: str) -> str:
        return "-" if value is None else f"{factor * value:.1f} {unit}"

    rows: list[Row] = [
        ("energy MAE", cell(v.energy_mae, 1000, "meV/atom"), _sd(1000 * s["energy_mae"], "meV/atom")),
        ("force MAE", cell(v.force_mae, 1000, "meV/Å"), _sd(1000 * s["force_mae"], "meV/Å")),
        ("force error / mean |F|", "-" if v.force_relative is None else f"{v.force_relative:.3f}", "-"),
        ("force cosine", "-" if v.force_cosine is None else f"{v.force_cosine:.3f}", "-"),
        ("stress MAE", cell(v.stress_mae, 1, "GPa"), _sd(s["stress_mae"], "GPa")),
    ]
    if v.coverage is not None:
        share, low, high = v.coverage
        rows.append(
            ("90 % force intervals cover", f"{100 * share:.1f} %", f"{100 * low:.1f} to {100 * high:.1f}")
        )
    if v.rank is not None:
        rows.append(("rank correlation of spread and error", f"{v.rank:.2f}", "-"))
    return rows


_ROWS: Final = {
    "relax": _relax,
    "md": _md,
    "eos": _eos,
    "elastic": _elastic,
    "phonons": _phonons,
    "neb": _neb,
    "surface": _surface,
    "adsorb": _adsorb,
    "screen": _screen,
    "evaluate": _evaluate,
}
