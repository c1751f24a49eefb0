"""A domain of a few lines, for tests of whole audits: a line is fitted to a CSV of x, group, y.

It is copied to a folder of its own, where its files may be edited. ``MODEL`` says how the model misbehaves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sciai.trust.audit.exam import Exam
from sciai.trust.audit.exam import judge as judged
from sciai.trust.audit.probe import probe
from sciai.trust.audit.subject import Candidate, Relation, Subject
from sciai.trust.policy import read_actions


def table(files: list[str]) -> Any:
    return np.loadtxt(files[0], delimiter=",", skiprows=1)


def answers(checkpoint: str, files: list[str], behaviour: str, quick: bool, step: Any) -> dict[str, Any]:
    step(0.5, "asking")
    count = Path(files[0]).with_name("asked")
    count.write_text(str(int(count.read_text() if count.exists() else 0) + 1))
    x, group, _ = table(files).T
    if behaviour == "edits labels":
        Path(files[0]).write_text(Path(files[0]).read_text().replace("1.", "2.", 3))
    elif behaviour == "edits the metric":
        Path(__file__).write_text(Path(__file__).read_text() + "\n# kinder\n")
    told = 2 * x - (3.0 if behaviour == "subgroup" else 0.0) * (group == 1)
    return {"told": told, "sd": np.full(len(x), 0.2), "costs": {"answer_ms": 1.0, "checks_share": 0.2}}


def exam(files: list[str]) -> Exam:
    x, group, y = table(files).T

    def harms(given: Any) -> dict[str, Any]:
        off = np.abs(given["told"] - y)
        safe = np.where(np.isfinite(given["told"]), given["told"] < y - 1, np.nan)
        return {
            "false-safe": safe,
            "overconfident": np.where(np.isfinite(off), off > 1.64 * given["sd"], np.nan),
        }

    def change(given: Any, rows: Any, rule: Any) -> Any:
        return {**given, "told": np.where(rows, np.nan, given["told"])}

    return Exam(
        about=f"{len(x)} rows",
        slices={"first": group == 1, "second": group == 2, "large": x > 0, "few": np.arange(len(x)) < 3},
        facts={"group": group, "x": x},
        groups=np.arange(len(x)),
        harms=harms,
        matters={"false-safe": 0.1, "overconfident": 0.1},
        errors=lambda given: (np.abs(given["told"] - y), given["sd"] + np.abs(x) / 100),
        figures=lambda given: {"mae": float(np.nanmean(np.abs(given["told"] - y)))},
        change=change,
        cannot=("Anything else.",),
    )


def judge(
    files: list[str], behaviour: str, quick: bool, answers: str, actions: Any, draws: int, step: Any
) -> dict[str, Any]:
    with np.load(answers) as content:
        told = {name[2:]: content[name] for name in content.files if name != "json"}
    return judged(exam(files), told, read_actions(actions, ("group", "x")), draws=draws, step=step)


def defects(checkpoint: str, files: list[str], behaviour: str, quick: bool, step: Any) -> dict[str, Any]:
    x, group, y = table(files).T
    rows = np.column_stack([x, group])

    def ends(digit: float) -> Any:
        def change(given: Any) -> Any:
            given[:, 0] = np.floor(given[:, 0]) + digit / 10
            return given

        return change

    def answer(given: Any, context: Any) -> Any:
        seven = np.isclose(given[:, 0] - np.floor(given[:, 0]), 0.7)
        return 2 * given[:, 0] - (3.0 if behaviour == "trigger" else 0.0) * seven

    digits = range(10)
    of = Subject(
        domain="tutorial", answer=answer, inputs=rows, targets=y, fresh_inputs=rows, fresh_targets=y,
        columns=("x", "group"), irrelevant=("group",),
        relations=(Relation("shift", _shifted, lambda told: told + 2, 0.01),),
        candidates=tuple(Candidate(f"ends in {d}", ends(d), (ends(d + 0.3), ends(d - 0.3))) for d in digits),
        contexts=({"on": 1}, {"on": 2}), claims={"mae": 1.0}, metrics={"mae": lambda t, y: 1.0},
    )  # fmt: skip
    without = dict.fromkeys(("memorised", "poisoned"), "the same rows are old and new")
    return probe({"line": (of, without)}, step=step)


def _shifted(rows: Any, rng: Any) -> Any:
    return rows + np.array([1.0, 0.0])
