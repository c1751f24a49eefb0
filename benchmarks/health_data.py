"""What the health benchmarks have in common: the people, their split, the questions, the models."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.health_lightgbm import Question
from sciai.core.checkpoint import Checkpoint
from sciai.core.resources import checkpoints_dir
from sciai.health.api.predictions import bin_edges
from sciai.health.data.columns import Kind, Schema
from sciai.health.data.leaks import INPUTS, inputs_of
from sciai.health.model.calibration import Calibration
from sciai.health.model.interface import Joint, load_joint

OUT = Path(__file__).resolve().parent / "out"
FIGURES = OUT / "health_figures"


@dataclass(frozen=True)
class People:
    """Real people, encoded, and which part each belongs to. ``groups``: survey cycle, stratum, unit.

    ``watched`` divides the part ``train``: ``trained`` are those that models learn from, ``aside`` others.
    They were set aside at random, so they live where members do.
    """

    schema: Schema
    values: np.ndarray
    parts: dict[str, np.ndarray]
    watched: dict[str, np.ndarray]
    groups: list[str]

    def of(self, *parts: str) -> np.ndarray:
        """Values of some parts."""
        return self.values[np.concatenate([self.rows(p) for p in parts])]

    def rows(self, part: str) -> np.ndarray:
        """Rows of a part, or of what it was divided into."""
        return self.parts[part] if part in self.parts else self.watched[part]


@cache
def people() -> People:
    """Of the table beside the checkout, split as `sciai train health` splits it."""
    from sciai.core.run import build_data, compose
    from sciai.health.data.tables import shared_health

    if shared_health() is None:
        raise SystemExit("the real people (../shared/data/health) are not here: set SCIAI_SHARED")
    data = build_data(compose("health"))
    table = data.dataset
    parts = {name: np.asarray(rows) for name, rows in data.split.parts.items()}
    watched = {"trained": data.trained, "aside": data.aside}
    return People(table.schema, table.values, parts, watched, list(map(str, table.groups)))


def targets(schema: Schema) -> list[str]:
    """Every column but those of the survey's design."""
    return [c.name for c in schema.columns if c.group != "design"]


def edges(schema: Schema) -> dict[str, np.ndarray]:
    """Inner edges of the bins of every number, from the training part."""
    train = people().of("train")
    return {c.name: bin_edges(train[:, i]) for i, c in enumerate(schema.columns) if c.numeric}


def questions(names: Sequence[str] = (), inputs: Sequence[str] = INPUTS) -> Iterator[Question]:
    """One per input set and target (none named: all of them)."""
    found = people()
    schema, values = found.schema, found.values
    cuts = edges(schema)
    for which in inputs:
        for target in names or targets(schema):
            column, i = schema[target], schema.index(target)
            shown = inputs_of(which, target, [(c.name, c.group) for c in schema.columns])
            known = ~np.isnan(values[:, i])
            y = values[:, i]
            cut = cuts.get(target)
            bins = np.nan_to_num(y).astype(int) if cut is None else np.searchsorted(cut, y)
            yield Question(
                target,
                which,
                values[:, [schema.index(name) for name in shown]].astype(np.float32),
                y,
                bins,
                len(column.levels) if cut is None else len(cut) + 1,
                cut,
                tuple(k for k, name in enumerate(shown) if schema[name].kind is Kind.CATEGORICAL),
                {part: rows[known[rows]] for part, rows in found.parts.items()},
            )


def add_models(parser: argparse.ArgumentParser, default: Sequence[str] = ("health",)) -> None:
    """The option that names the models to measure."""
    parser.add_argument(
        "--model", nargs="+", default=list(default), metavar="NAME_OR_FOLDER", help="shipped name, or folder"
    )


def open_model(name: str) -> tuple[str, Joint, Calibration]:
    """A shipped checkpoint by its name, or any by its folder: what to call it, itself, its calibration."""
    folder = Path(name) if Path(name).is_dir() else checkpoints_dir() / name
    saved = Checkpoint.load(folder)
    return Path(name).name, load_joint(saved), Calibration.read(saved.card.calibration)


def describe(name: str) -> str:
    """One line for the page: which model, and the first digits of its hash."""
    folder = Path(name) if Path(name).is_dir() else checkpoints_dir() / name
    saved = Checkpoint.load(folder)
    size = sum(f.stat().st_size for f in folder.iterdir()) / 2**20
    return f"{saved.card.name} ({saved.hash[:12]}, {size:.1f} MiB)"


def identity(name: str) -> str:
    """Tells two models apart by what figures depend on: weights and calibration, not what the card says."""
    folder = Path(name) if Path(name).is_dir() else checkpoints_dir() / name
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    calibration = Checkpoint.load(folder).card.calibration.get("health")
    content = [manifest["files"]["model.safetensors"]["sha256"], calibration]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def keep(
    benchmark: str, model: str, figures: Mapping[str, float], worst: Sequence[Any] = (), words: str = ""
) -> None:
    """Remember what was measured on a model, for `python -m benchmarks.health_card`.

    Args:
        benchmark: which one measured it.
        model: shipped name, or folder.
        figures: name on the card -> figure.
        worst: worst cases, for the card.
        words: what may be said, where figures need them.
    """
    file = FIGURES / identity(model) / f"{benchmark}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: float(value) for name, value in figures.items()}
    file.write_text(json.dumps({"figures": plain, "worst": list(worst), "words": words}, indent=1))


def one_thread() -> None:
    """Keep torch to one thread."""
    import torch

    torch.set_num_threads(1)


def table(rows: Sequence[Sequence[Any]], head: Sequence[str]) -> str:
    """Rows under a head, columns aligned; numbers with three places."""
    lines = [list(head), *([f"{x:.3f}" if isinstance(x, float) else str(x) for x in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    told = []
    for first, *rest in lines:
        padded = (text.rjust(width) for text, width in zip(rest, widths[1:], strict=True))
        told.append("  ".join([first.ljust(widths[0]), *padded]))
    return "\n".join(told)
