"""Screening: thousands of files, in batches, resumable, ranked."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciai.atoms.api.differences import between, kept
from sciai.atoms.api.files import files_of, passed_over, read_all
from sciai.atoms.api.folder import Step, fingerprint, quiet
from sciai.atoms.api.pictures import ACCENT, WARM, new_figure, tidy
from sciai.atoms.api.record import recorded
from sciai.core.answer import Answer, Estimate, Finding, Level, jsonable
from sciai.core.atomic import nothing_in, terminable, whole_file
from sciai.core.errors import BadInput, SciaiError

if TYPE_CHECKING:
    from ase import Atoms

    from sciai.atoms.api.potential import Potential
    from sciai.atoms.train.differences import Related

__all__ = ["KEYS", "Screened", "screen"]

KEYS: Final = ("energy", "force", "spread", "volume")
"""What rows can be ranked by."""


@dataclass(frozen=True)
class Screened:
    """A ranked table.

    Attributes:
        rows: one mapping per structure, best first, refused ones last: file, frame, formula, atoms, energy
            (eV per atom), above (eV per atom above the lowest of the same composition), force (largest,
            eV/Å), spread (worst force, eV/Å), volume (Å^3 per atom), level, why.
        answered: number of structures that were answered.
        refused: number that were refused or could not be read.
        skipped: number that an earlier run had done.
    """

    rows: tuple[dict[str, Any], ...] = field(repr=False)
    answered: int
    refused: int
    skipped: int


@recorded
def screen(
    files: Sequence[str | Path],
    potential: Potential,
    out: str | Path,
    *,
    relaxed: bool = False,
    rank: str = "energy",
    batch: int = 32,
    fmax: float = 0.05,
    steps: int = 200,
    progress: Step | None = None,
) -> Answer[Screened]:
    """Ask about every structure of many files, and rank them.

    Results are appended to ``results.jsonl`` as they come; a run that was stopped goes on behind them, and
    files that are added later are added to the table. Of a file that has changed since, what it holds now
    takes the place of what it held.

    Args:
        files: files or folders (searched for structures).
        potential: what computes.
        out: folder for results, table and picture.
        relaxed: relax each structure first (atoms and cell); its relaxed form goes to ``out/relaxed``.
        rank: energy (above the lowest of the same composition), force, spread or volume.
        batch: structures per pass; each relaxation is one.
        fmax: for relaxation, eV/Å.
        steps: for relaxation.
        progress: called with the part done and what is being done.

    Returns:
        The answer. Its spread is the median of the structures' energy spread, eV per atom. Rows have
        ``above``, eV per atom above the lowest of the composition, and ``above_spread``, the spread of that
        difference, which is much smaller.

    Raises:
        BadInput: no files, a rank that does not exist, or a folder of another potential's screen.
    """
    step = progress or quiet
    if rank not in KEYS:
        raise BadInput(f"there is no rank by {rank!r}", field="rank", fix=f"use {', '.join(KEYS)}")
    folder = Path(out)
    # what an earlier run left in a folder that is screened is no question
    paths = [path for path in files_of(files) if folder.resolve() not in path.resolve().parents]
    done = _open(folder, potential, {"fmax": fmax, "steps": steps} if relaxed else None)
    before: dict[str, set[str]] = {}
    for key in done:
        before.setdefault(_split(key)[0], set()).add(key)
    skipped = 0
    with terminable(), open(folder / "results.jsonl", "a", encoding="utf-8") as sink:

        def note(rows: Iterable[dict[str, Any]]) -> None:
            for row in rows:
                sink.write(json.dumps(jsonable(row), ensure_ascii=False) + "\n")
                done[row["key"]] = row
            sink.flush()

        def replace(whole: str, keys: set[str]) -> None:
            for key in sorted(before.pop(whole, set()) - keys):
                sink.write(json.dumps({"key": key, "gone": True}) + "\n")
                del done[key]

        waiting: list[tuple[str, int, str, Atoms]] = []
        for k, path in enumerate(paths):
            step(k / len(paths), f"{path.name}: {k + 1} of {len(paths)} files")
            whole = os.path.abspath(path)  # one file, whatever the folder that it is named from
            try:
                frames = read_all(path)
            except BadInput as error:
                key = f"{whole}#unreadable"
                replace(whole, {key})
                if key not in done:
                    note([{"key": key, "file": str(path), "frame": 0, "level": "refuse", "why": str(error)}])
                continue
            keys = [f"{whole}#{number}#{fingerprint(atoms)}" for number, atoms in enumerate(frames)]
            replace(whole, set(keys))
            for number, (key, atoms) in enumerate(zip(keys, frames, strict=True)):
                if key in done:
                    skipped += 1
                    continue
                waiting.append((str(path), number, key, atoms))
                if relaxed or len(waiting) >= batch:  # no relaxation waits for others to be noted
                    note(_ask(waiting, potential, folder, relaxed, fmax, steps))
                    waiting = []
        if waiting:
            note(_ask(waiting, potential, folder, relaxed, fmax, steps))
    rows = _ranked(list(done.values()), rank, potential.related)
    answer = _answer(rows, skipped, potential, passed_over(files, folder))
    _write(rows, answer, folder, rank)
    step(1.0, "done")
    return answer


def _open(
    folder: Path, potential: Potential, relaxation: dict[str, float] | None
) -> dict[str, dict[str, Any]]:
    job = {
        "kind": "screen",
        "model": potential.provenance.model,
        "checkpoint": potential.provenance.checkpoint,
        "relaxed": relaxation is not None,
        "guard": potential.guard.name,
        **(relaxation or {}),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"the folder cannot be made: {error.strerror}", file=folder) from error
    head, results = folder / "job.json", folder / "results.jsonl"
    if head.is_file():
        there = json.loads(head.read_text(encoding="utf-8"))
        if there != job:
            different = ", ".join(key for key in job if there.get(key) != job[key])
            raise BadInput(
                f"the folder holds a screen with another {different}", file=folder, fix="choose another"
            )
    elif not nothing_in(folder):
        raise BadInput("the folder holds other files", file=folder, fix="choose a new or empty folder")
    else:
        with whole_file(head) as temporary:
            temporary.write_text(json.dumps(job, indent=1) + "\n", encoding="utf-8")
    done: dict[str, dict[str, Any]] = {}
    if results.is_file():
        lines = results.read_bytes()
        whole = lines[: lines.rfind(b"\n") + 1]  # a run that was killed may have left half a line
        found = [json.loads(line) for line in whole.decode("utf-8").splitlines()]
        for row in found:  # keys of earlier versions are as the file was named then
            place, rest = _split(row["key"])
            row["key"] = os.path.abspath(place) + rest
        again = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found).encode("utf-8")
        if again != lines:
            with whole_file(results, overwrite=True) as temporary:
                temporary.write_bytes(again)
        for row in found:
            if row.get("gone"):
                done.pop(row["key"], None)
            else:
                done[row["key"]] = row
    return done


def _split(key: str) -> tuple[str, str]:
    """The file of a row's key, and what follows it."""
    place, _, last = key.rpartition("#")
    if last == "unreadable":
        return place, f"#{last}"
    place, _, number = place.rpartition("#")
    return place, f"#{number}#{last}"


def _ask(
    items: list[tuple[str, int, str, Atoms]],
    potential: Potential,
    folder: Path,
    relaxed: bool,
    fmax: float,
    steps: int,
) -> list[dict[str, Any]]:
    frames = [atoms for *_, atoms in items]
    if not relaxed:
        answers = _batch(frames, potential)
    else:
        from sciai.atoms.api.files import with_results, write
        from sciai.atoms.api.relaxation import relax

        answers = []
        for k, (path, number, _, atoms) in enumerate(items):
            try:
                rest = relax(atoms, potential, fmax=fmax, steps=steps)
            except Exception as error:
                if isinstance(error, BadInput) and error.field == "cell":
                    fix = "screen without relaxing, or with a potential that has stresses"
                    raise BadInput(error.problem, field="relaxed", fix=fix) from error
                answers.append(_failed(error, potential))
                continue
            if rest.estimate is None:
                answers.append(rest)
                continue
            frames[k] = rest.estimate.value.atoms
            name = f"{Path(path).stem}-{number}-{fingerprint(atoms)[:6]}.extxyz"
            found = potential(frames[k])
            told = frames[k] if found.estimate is None else with_results(frames[k], found.estimate.value)
            write(told, folder / "relaxed" / name)
            # what the relaxation itself remarked (not converged, volume) belongs to the row too
            extra = tuple(f for f in rest.findings if f not in found.findings)
            answers.append(Answer(found.estimate, (*extra, *found.findings), found.provenance))
    return [
        _row(path, number, key, atoms, answer)
        for (path, number, key, _), atoms, answer in zip(items, frames, answers, strict=True)
    ]


def _batch(frames: list[Atoms], potential: Potential) -> list[Answer[Any]]:
    """Answers for structures of which none stops the others: calculators of others raise anything."""
    try:
        return potential.batch(frames)
    except Exception as error:
        if len(frames) == 1:
            return [_failed(error, potential)]
        return [answer for atoms in frames for answer in _batch([atoms], potential)]


def _failed(error: Exception, potential: Potential) -> Answer[Any]:
    """What is known of a structure that could not be computed; settings that make no sense are no answer."""
    if isinstance(error, BadInput):
        raise error
    told = f"{type(error).__name__}: {error}".split("\n")[0]
    ours = isinstance(error, SciaiError)  # which says who failed
    said = str(error) if ours else f"{potential.provenance.model} failed ({told})"
    return Answer(None, (Finding("failed", Level.REFUSE, said),), potential.provenance)


def _row(path: str, number: int, key: str, atoms: Atoms, answer: Answer[Any]) -> dict[str, Any]:
    n = max(len(atoms), 1)
    row: dict[str, Any] = {
        "key": key,
        "file": path,
        "frame": number,
        "formula": atoms.get_chemical_formula("metal", empirical=True) if len(atoms) else "",
        "atoms": len(atoms),
        "level": answer.level.name.lower(),
        "why": "; ".join(f.message for f in answer.findings if f.level > Level.OK),
    }
    if answer.estimate is not None and answer.level < Level.REFUSE:
        value, force_sd = answer.estimate.value, np.asarray(answer.estimate.spread["forces"], float)
        row |= {
            "energy": value.energy / n,
            "energy_spread": float(answer.estimate.spread["energy_per_atom"]),
            "force": float(np.linalg.norm(value.forces, axis=1).max(initial=0.0)),
            "spread": float(force_sd.max()) if np.isfinite(force_sd).any() else None,
            "volume": float(atoms.get_volume()) / n if atoms.pbc.all() else None,
            "told": kept(value),
        }
    return row


def _ranked(found: list[dict[str, Any]], rank: str, known: Related | None = None) -> list[dict[str, Any]]:
    lowest: dict[str, dict[str, Any]] = {}
    for row in found:
        if row.get("energy") is not None:
            best = lowest.setdefault(row["formula"], row)
            if row["energy"] < best["energy"]:
                lowest[row["formula"]] = row
    # what was kept to compare structures with is of no use in a table
    rows = [{name: value for name, value in row.items() if name != "told"} for row in found]
    for row, whole in zip(rows, found, strict=True):
        if row.get("energy") is not None:
            best = lowest[row["formula"]]
            row["above"] = row["energy"] - best["energy"]
            row["above_spread"] = None
            if whole is not best and np.isfinite(sd := between(known, whole.get("told"), best.get("told"))):
                row["above_spread"] = sd
    key = "above" if rank == "energy" else rank

    def place(row: dict[str, Any]) -> tuple[bool, float, str, int]:
        value = row.get(key)
        return (value is None, np.inf if value is None else value, row["file"], row["frame"])

    ordered = sorted(rows, key=place)
    for number, row in enumerate(ordered, 1):
        row["rank"] = number if row.get("energy") is not None else None
    return ordered


def _answer(
    rows: list[dict[str, Any]], skipped: int, potential: Potential, over: Sequence[Path] = ()
) -> Answer[Screened]:
    good = [row for row in rows if row.get("energy") is not None]
    bad = len(rows) - len(good)
    findings: list[Finding] = []
    if bad:
        first = next(row for row in rows if row.get("energy") is None)
        message = f"{bad} of {len(rows)} structures were refused or unreadable; `why` in the table says why"
        findings.append(
            Finding("skipped", potential.guard.level("skipped"), message, f"first: {first['file']}")
        )
    if over:
        message = f"{len(over)} files were not looked at: their names are not those of structures"
        findings.append(Finding("skipped", Level.OK, message, f"first: {over[0]}"))
    spreads = [row["energy_spread"] for row in good if row.get("energy_spread") is not None]
    spread = float(np.median(spreads)) if spreads else float("nan")
    value = Screened(tuple(rows), len(good), bad, skipped)
    return Answer(Estimate(value, {"energy_per_atom": spread}, "eV"), tuple(findings), potential.provenance)


def _write(rows: list[dict[str, Any]], answer: Answer[Screened], folder: Path, rank: str) -> None:
    columns = (
        *("rank", "file", "frame", "formula", "atoms", "energy", "above", "above_spread", "energy_spread"),
        *("force", "spread", "volume", "level", "why"),
    )
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    with whole_file(folder / "table.csv", overwrite=True) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    with whole_file(folder / "result.json", overwrite=True) as temporary:
        temporary.write_text(
            json.dumps(answer.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    if any(row.get("energy") is not None for row in rows):
        with whole_file(folder / "ranking.png", overwrite=True) as temporary:
            screen_figure(rows, rank).savefig(temporary, format="png", dpi=150)


def screen_figure(rows: Sequence[dict[str, Any]], rank: str = "energy", most: int = 30) -> Any:
    """The best rows as bars, coloured by verdict, with the spread of their energy."""
    shown = [row for row in rows if row.get("energy") is not None][:most]
    key = "above" if rank == "energy" else rank
    units = {
        "above": "above the lowest of its composition, meV/atom",
        "force": "largest force, eV/Å",
        "spread": "worst force spread, eV/Å",
        "volume": "volume, Å³/atom",
    }
    scale = 1000 if key == "above" else 1
    figure = new_figure(8.0, 1.2 + 0.28 * len(shown))
    axes = tidy(figure.subplots(), units[key], "", f"the first {len(shown)} of {len(rows)}")
    values = [scale * (row.get(key) or 0.0) for row in shown]
    errors = None
    if key == "above" and any(row.get("above_spread") is not None for row in shown):
        errors = [1000 * (row.get("above_spread") or 0.0) for row in shown]  # none of the lowest itself
    colors = [
        ACCENT if row["level"] == "ok" else "#d9a441" if row["level"] == "caution" else WARM for row in shown
    ]
    names = [
        f"{row['formula']}  {Path(row['file']).name}" + (f" #{row['frame']}" if row["frame"] else "")
        for row in shown
    ]
    axes.barh(range(len(shown)), values, xerr=errors, color=colors, height=0.7, ecolor="#8894a0")
    axes.set_yticks(range(len(shown)), names, fontsize=8)
    axes.invert_yaxis()
    return figure
