"""How the answers of `sciai atoms` are printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sciai.cli import show

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.core.answer import Answer


def finish(answer: Answer[Any], json: bool, table: Callable[[], None]) -> None:
    """Print an answer and its verdict; end with exit code 3 where it was refused."""
    if json:
        show.print_json(answer.to_dict(max_items=10_000))
    else:
        if answer.estimate is not None and answer.level.name != "REFUSE":
            table()
        show.print_findings(answer.findings, answer.level.name.lower())
    show.finish(answer)


def close(answer: Answer[Any], kind: str, folder: Path, json: bool, **options: Any) -> None:
    """Write the report of a run, print the answer, end."""
    from sciai.studio.atoms import report_of

    path = report_of(answer, kind, folder)
    if not json:
        typer.echo(f"report: {path}", err=True)
    finish(answer, json, lambda: SHOW[kind](answer, str(folder), **options))


def rows_of(kind: str, answer: Answer[Any]) -> list[tuple[str, str, str]]:
    """Figure, value, spread of an answer; the report and the terminal show the same."""
    from sciai.studio.atoms import figures

    return figures(kind, answer)


def _table(kind: str) -> Callable[..., None]:
    def printed(answer: Answer[Any], where: str, **_: Any) -> None:
        show.print_table(f"{kind}: {where}", ["figure", "value", "spread"], rows_of(kind, answer))

    return printed


def properties(answer: Answer[Any], atoms: Atoms, where: str) -> None:
    """Energy, largest force, pressure, and the least certain atoms."""
    import numpy as np

    if answer.estimate is None:
        return
    value, spread = answer.estimate.value, answer.estimate.spread
    n, force = len(atoms), np.linalg.norm(value.forces, axis=1)
    rows: list[tuple[Any, ...]] = [
        ("energy", f"{value.energy:.4f} eV", _sd(spread["energy"], "eV")),
        ("energy per atom", f"{value.energy / n:.4f} eV", _sd(spread["energy_per_atom"], "eV")),
        ("largest force", f"{force.max():.4f} eV/Å", _sd(float(np.max(spread["forces"])), "eV/Å")),
    ]
    if value.stress is not None:
        rows.append(("pressure", f"{-value.stress[:3].mean() * 160.21766:.3f} GPa", "-"))
    show.print_table(f"{where}: {atoms.get_chemical_formula()}", ["figure", "value", "spread"], rows)


def evaluation(answer: Answer[Any], where: str) -> None:
    """Errors, coverage, and the worst structures."""
    show.print_table(
        f"{where} ({answer.unwrap().structures} structures)",
        ["figure", "value", "± 95 %"],
        rows_of("evaluate", answer),
    )
    worst = answer.unwrap().worst[:5]
    show.print_table(
        "worst",
        ["structure", "formula", "force MAE, eV/Å", "energy error, eV/atom"],
        [(w["where"], w["formula"], w["force_mae"], w["energy_error"]) for w in worst],
    )


def _screen(answer: Answer[Any], where: str, top: int = 20) -> None:
    done = answer.unwrap()
    rows = [
        (
            row.get("rank"),
            Path(row["file"]).name + (f" #{row['frame']}" if row["frame"] else ""),
            row.get("formula", ""),
            row.get("energy"),
            None if row.get("above") is None else 1000 * row["above"],
            None if row.get("above_spread") is None else 1000 * row["above_spread"],
            row.get("force"),
            row.get("spread"),
            row["level"],
        )
        for row in done.rows[:top]
    ]
    columns = [
        "rank",
        "file",
        "formula",
        "eV/atom",
        "above, meV",
        "± meV",
        "force, eV/Å",
        "± eV/Å",
        "verdict",
    ]
    show.print_table(
        f"{where}: {done.answered} answered, {done.refused} refused, {done.skipped} from before",
        columns,
        rows,
    )
    typer.echo(f"table: {Path(where) / 'table.csv'}")


def _sd(value: float, unit: str) -> str:
    return "-" if value != value else f"{value:.3g} {unit}"


SHOW: dict[str, Callable[..., None]] = {
    **{
        kind: _table(kind)
        for kind in ("relax", "md", "eos", "elastic", "phonons", "neb", "surface", "adsorb")
    },
    "screen": _screen,
}
