"""How far predictions are from labels, source by source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sciai.atoms.data.tiers import element_counts, tiers_of
from sciai.atoms.model.interface import Prediction
from sciai.atoms.train.data import GPA, Batch
from sciai.atoms.train.repulsion import ENCOUNTER
from sciai.core.data import DataModule

__all__ = ["Evaluate", "Tally", "predictions"]

Floats = NDArray[np.float64]


def predictions(net: nn.Module, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Prediction]]:
    """Every batch with what the network says of it."""
    asked: Any = net
    for batch in batches:
        yield batch, asked.predict(batch.graph)


@dataclass
class Tally:
    """Errors of structures of one kind, to be summed up.

    Attributes:
        energy: per structure, prediction - label, eV/atom.
        forces: per component, prediction - label, eV/Å.
        size: per component, |label|, eV/Å.
        stress: per component, prediction - label, GPa.
    """

    energy: list[Floats] = field(default_factory=list)
    forces: list[Floats] = field(default_factory=list)
    size: list[Floats] = field(default_factory=list)
    stress: list[Floats] = field(default_factory=list)

    def add(self, energy: Any = None, forces: Any = None, label: Any = None, stress: Any = None) -> None:
        """Count errors (and the size of the force labels); NaN and None are no labels."""
        for into, values in (
            (self.energy, energy),
            (self.forces, forces),
            (self.size, label),
            (self.stress, stress),
        ):
            if values is not None:
                flat = np.asarray(values, float).ravel()
                into.append(flat[np.isfinite(flat)])

    def summary(self) -> dict[str, float]:
        """Mean absolute errors: energy in meV/atom (bias: median), forces in meV/Å, stress in GPa.

        ``force_relative`` is the mean absolute error over the mean absolute label.

        >>> tally = Tally()
        >>> tally.add(energy=[0.01, -0.03], forces=[0.1, 0.3], label=[1.0, 1.0])
        >>> {name: round(value, 3) for name, value in tally.summary().items()}
        {'energy': 20.0, 'energy_bias': -10.0, 'forces': 200.0, 'force_relative': 0.2}
        """
        out: dict[str, float] = {}
        joined = {
            name: np.concatenate(getattr(self, name) or [np.empty(0)]) for name in self.__dataclass_fields__
        }
        if joined["energy"].size:
            out["energy"] = 1000 * float(np.abs(joined["energy"]).mean())
            out["energy_bias"] = 1000 * float(np.median(joined["energy"]))
        if joined["forces"].size:
            out["forces"] = 1000 * float(np.abs(joined["forces"]).mean())
            out["force_relative"] = float(np.abs(joined["forces"]).mean() / max(joined["size"].mean(), 1e-9))
        if joined["stress"].size:
            out["stress"] = float(np.abs(joined["stress"]).mean())
        return out


class Evaluate:
    """Test figures for each source, the structures with the worst forces, and the elements' tiers.

    Args:
        worst: how many to name.
    """

    def __init__(self, worst: int = 10) -> None:
        self.worst = worst

    def __call__(self, net: nn.Module, data: DataModule) -> Mapping[str, Any]:
        """Figures ``test/<source>/<what>`` (see ``Tally.summary``), ``worst``, and ``extra`` for the card.

        The extra holds ``tiers`` and ``element_counts`` (labelled atoms of each element in training).
        """
        asked: Any = net
        tallies: dict[str, Tally] = {}
        cases: list[dict[str, Any]] = []
        per_element: dict[int, list[float]] = {}  # sums of |error| and |label| over force components
        for batch, answer in predictions(net, data.loader("test")):
            graph = batch.graph
            for k in range(graph.n_graphs):
                mine = graph.batch == k
                size = int(mine.sum())
                source = asked.names[int(graph.source[k])]
                errors = _errors(batch, answer, k, mine, size)
                tallies.setdefault(source, Tally()).add(*errors)
                wrong, label = np.abs(errors[1]), errors[2]
                if not (np.isfinite(wrong).all() and wrong.size):
                    continue
                numbers = graph.numbers[mine].tolist()
                for z, w, f in zip(numbers, wrong.sum(1), label.sum(1), strict=True):
                    sums = per_element.setdefault(z, [0.0, 0.0])
                    sums[0], sums[1] = sums[0] + float(w), sums[1] + float(f)
                where = {"source": source, "elements": sorted(set(numbers)), "atoms": size}
                cases.append({**where, "force_mae": float(wrong.mean())})
        figures: dict[str, Any] = {
            f"test/{source}/{name}": value
            for source, tally in sorted(tallies.items())
            for name, value in tally.summary().items()
        }
        cases.sort(key=lambda case: -case["force_mae"])
        return {**figures, "worst": cases[: self.worst], "extra": _elements(data, per_element)}


def _elements(data: DataModule, sums: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    from ase.data import chemical_symbols

    records = data.dataset.records
    chosen = (records[int(i)] for i in data.split.parts["train"])
    once = {id(record): record for record in chosen if record.kind != ENCOUNTER}
    counts = element_counts(once.values())
    errors = {chemical_symbols[z]: wrong / label for z, (wrong, label) in sums.items() if label > 0}
    return {
        "tiers": tiers_of(counts, errors),
        "element_counts": {symbol: row["atoms"] for symbol, row in counts.items()},
    }


def _errors(batch: Batch, answer: Prediction, k: int, mine: torch.Tensor, size: int) -> tuple[Floats, ...]:
    energy = (answer.energy[k] - batch.energy[k]).numpy() / size
    label = batch.forces[mine].double()
    if answer.forces is None or answer.stress is None:
        raise ValueError("predictions without forces or stress")
    forces = (answer.forces[mine] - label).numpy()
    stress = (answer.stress[k] - batch.stress[k]).numpy()[np.triu_indices(3)] / GPA
    return energy, forces, label.abs().numpy(), stress
