"""The main job of every domain that exists, on inputs that ship or that are made, as one report."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sciai import __version__
from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.studio import atoms_demo, health_demo, radar
from sciai.studio.report import Report, Section, write

Step = Callable[[float, str], None]
_WRITES = ("report.html", "people.csv", "radar.zarr", "atoms")
_MARK = ".sciai-demo"


@dataclass(frozen=True)
class Demo:
    """What a demo leaves behind.

    Attributes:
        report: the HTML file.
        level: the worst verdict of any domain.
        findings: of all domains.
        sections: of the report, each with its headline figures.
        figures: everything that was measured, for ``--json``.
    """

    report: Path
    level: Level
    findings: tuple[Finding, ...]
    sections: tuple[Section, ...]
    figures: Mapping[str, Any]


def run(out: Path, volume: Sequence[Path] = (), *, offline: bool = False, step: Step | None = None) -> Demo:
    """Run every domain's main job.

    Args:
        out: folder for the report and what the domains write; made where it is missing.
        volume: the user's own radar volume; fetched or simulated when empty.
        offline: do not look for a network.
        step: called with the part done (0 to 1) and what is being done.

    Raises:
        BadInput: an output folder that cannot be used or holds what a demo would overwrite, or a volume that
            cannot be read.
    """
    start = time.perf_counter()
    made_here = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"the folder for the report cannot be made: {error.strerror}", file=out) from error
    _claim(out)
    try:
        sections, parts = _sections(out, volume, offline, step or (lambda part, text: None))
    except BaseException:
        with contextlib.suppress(OSError):  # what holds something stays
            if [entry.name for entry in out.iterdir()] == [_MARK]:
                (out / _MARK).unlink()
            for folder in made_here:
                folder.rmdir()
        raise
    seconds = time.perf_counter() - start
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    made = f"sciai {__version__} · {when} · {seconds:.0f} s · {machine}"
    report = write(Report("sciai demo", made, sections), out / "report.html")
    level = max(section.level for section in sections)
    # what two sections of a domain found alike is said once
    findings = tuple(dict.fromkeys(finding for section in sections for finding in section.findings))
    figures = {"level": level, "seconds": seconds, "report": report, **parts}
    return Demo(report, level, findings, tuple(sections), figures)


def _claim(out: Path) -> None:
    """Take a folder that is free, or that an earlier demo wrote; training writes to runs/atoms, say."""
    report = out / "report.html"
    # those of before there was a mark
    ours = (out / _MARK).is_file() or (
        report.is_file() and b"<title>sciai demo" in report.read_bytes()[:4096]
    )
    if not ours and (taken := [name for name in _WRITES if os.path.lexists(out / name)]):
        raise BadInput(
            f"it holds {', '.join(taken)}, which a demo would write over",
            file=out,
            field="--out",
            fix="choose an empty folder",
        )
    try:
        (out / _MARK).touch()
    except OSError as error:
        raise BadInput(
            f"the folder for the report cannot be written to: {error.strerror}", file=out
        ) from error


def _sections(
    out: Path, volume: Sequence[Path], offline: bool, step: Step
) -> tuple[list[Section], dict[str, Any]]:
    """The sections of every domain whose model ships, in order, and their figures by domain."""
    done = radar.demonstrate(out, volume, offline=offline, step=_share(step, 0.0, 0.7))
    sections, figures = [done.section], {"radar": done.figures}
    if health_demo.available():
        health = health_demo.demonstrate(out, step=_share(step, 0.7, 0.85))
        sections += health.sections
        figures["health"] = health.figures
    if atoms_demo.available():
        atoms = atoms_demo.demonstrate(out, step=_share(step, 0.85, 1.0))
        sections += atoms.sections
        figures["atoms"] = atoms.figures
    return sections, figures


def _share(step: Step, start: float, end: float) -> Step:
    """A progress callback for one domain's share of the whole."""
    return lambda part, text: step(start + (end - start) * part if part >= 0 else part, text)
