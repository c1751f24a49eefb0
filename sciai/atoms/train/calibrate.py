"""What makes the spread trustworthy: how wrong held-out structures were, and what was learned from.

Intervals are conformal (``sciai.trust.conformal``) with the predicted spread as the scale, and one quantile
for each fifth of the predicted spread, so that quiet environments are covered as well as loud ones. The
parts that are held out for this were not trained on, and share no chemical system with training or test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray
from torch import nn

from sciai.atoms.train.data import Structures, collate
from sciai.atoms.train.differences import Told, fit, pairs_of
from sciai.atoms.train.figures import predictions
from sciai.atoms.train.offsets import GPA, fit_zero
from sciai.atoms.train.repulsion import ENCOUNTER, stiffen
from sciai.core.data import DataModule
from sciai.trust.conformal import quantile

__all__ = ["NOTHING_HELD", "Calibrate", "binned_quantiles"]

NOTHING_HELD = "none: no labelled structure was left to measure the spread on; not calibrated"

Floats = NDArray[np.float64]


class Calibrate:
    """Fits intervals, and what the support check needs into the network's buffers; figures on the card.

    Args:
        alpha: share of force components, and of energies, that may lie outside their interval.
        bins: number of classes of predicted spread.
        floor: added to the predicted spread of the energy, eV/atom, so that a head's silence is not
            certainty.
        structures: training structures whose atoms may become prototypes.
        seed: picks them.
        rehearsed: whether structures are more of what the weights it began with had learned: then the
            distances seen there count as well. Otherwise only those of these structures do.
    """

    def __init__(
        self,
        alpha: float = 0.1,
        bins: int = 5,
        floor: float = 0.005,
        structures: int = 3000,
        seed: int = 0,
        rehearsed: bool = False,
    ) -> None:
        self.alpha, self.bins, self.floor, self.structures, self.seed = alpha, bins, floor, structures, seed
        self.rehearsed = rehearsed

    def __call__(self, net: nn.Module, data: DataModule) -> Mapping[str, Any]:
        """The card's calibration."""
        target: Any = net
        closest = torch.as_tensor(_closest(data)).to(target.closest)
        target.closest.copy_(target.closest.minimum(closest) if self.rehearsed else closest)
        target.keep_to_seen()
        fell, left = stiffen(target)
        zero = self._zero(net, data)
        force, energy, held, told = self._held_out(net, data)
        result: dict[str, Any] = {
            "set": _set(net, data, force, energy),
            "alpha": self.alpha,
            "zero": zero,
            "pairs": {"fell": fell, "still_fall": left},
        }
        if force is not None:
            result["force"] = binned_quantiles(*force, self.alpha, self.bins)
        if energy is not None:
            result["energy"] = {**binned_quantiles(*energy, self.alpha, 1), "floor": self.floor}
        result["support"] = self._support(net, data, held)
        # in spreads of descriptors, which the support has just found
        scale = target.support_scale.double().numpy()
        pairs = pairs_of(told, scale) if (scale > 0).all() else []
        if differences := fit(pairs, "the labels", self.alpha):
            result["differences"] = differences
        return result

    def _zero(self, net: nn.Module, data: DataModule) -> Mapping[str, Any]:
        """Take the network's bias at the source that it answers at off its elements' energies."""
        target: Any = net
        name = target.names[target.answers]
        records = data.dataset.records
        asked = {"source": name, "elements": _with_energies(net, data)}
        numbers, errors, groups, held = [], [], [], []
        for part in ("train", "val", "calibrate"):
            rows = [k for k in map(int, data.split.parts.get(part, ())) if _at_rest(records[k], name)]
            for some in np.array_split(rows, max(1, len(rows) // 16)) if rows else []:
                batch = collate([data.dataset[int(k)] for k in some])
                answer = target.predict(batch.graph, forces=False, stress=False)
                for k, energy in zip(some, answer.energy.tolist(), strict=True):
                    record = records[int(k)]
                    numbers.append(np.asarray(record.numbers))
                    errors.append((energy - float(record.energy)) / len(record.numbers))
                    groups.append(record.group)
                    held.append(part != "train")
        if not errors:
            return {**asked, "structures": 0}
        off, apart = np.array(errors), np.array(held)
        change = fit_zero(numbers, off, groups, apart)
        target.offsets[target.answers] -= torch.as_tensor(change).to(target.offsets)
        return {
            **asked,
            "structures": len(off),
            "held_out": int(apart.sum()),
            "median_before": float(np.median(off[apart] if apart.any() else off)),
            "largest_change": float(np.abs(change).max()),
        }

    def _held_out(
        self, net: nn.Module, data: DataModule
    ) -> tuple[tuple[Floats, Floats] | None, tuple[Floats, Floats] | None, Floats, list[_Labelled]]:
        """(spread, error) of force components (eV/Å) and of energies (eV/atom), descriptors of atoms with
        their elements as the last column, and what differences of energies are judged by."""
        force: list[tuple[Floats, Floats]] = []
        energy: list[tuple[Floats, Floats]] = []
        held: list[Floats] = []
        told: list[_Labelled] = []
        for batch, answer, asked in self._at_its_level(net, data):
            size = torch.bincount(batch.graph.batch).double()
            if answer.forces is not None:
                wrong = (answer.forces - batch.forces).abs().numpy()
                known = np.isfinite(wrong).all(1) & asked[batch.graph.batch.numpy()]
                scale = np.repeat(answer.force_sd.numpy()[:, None], 3, 1)
                force.append((scale[known].ravel(), wrong[known].ravel()))
            off = ((answer.energy - batch.energy) / size).abs().numpy()
            known = np.isfinite(off) & asked
            energy.append(((answer.energy_sd / size).numpy()[known] + self.floor, off[known]))
            held.append(_with_elements(answer, batch))
            told += _told(batch, answer, known, net)
        if not held:
            return None, None, np.empty((0, 0)), []
        return _columns(force), _columns(energy), np.concatenate(held), told

    @staticmethod
    def _at_its_level(net: nn.Module, data: DataModule) -> Iterator[tuple[Any, Any, NDArray[np.bool_]]]:
        """Held-out batches, answers, and which structures are labelled at the level of what users get.

        Intervals promise something about those answers. Where no label is of that level, all count.
        """
        of: Any = net
        own = of.levels == of.levels[of.answers]
        records, held = data.dataset.records, data.part("calibrate").indices
        some = any(bool(own[of.names.index(records[k].source)]) for k in held)
        for batch, answer in predictions(net, data.loader("calibrate")):
            asked = own[batch.graph.source].numpy() if some else np.ones(batch.graph.n_graphs, bool)
            yield batch, answer, asked

    def _support(self, net: nn.Module, data: DataModule, held: Floats) -> Mapping[str, Any]:
        """Prototypes of every element's environments, and the shortest distances seen."""
        from sciai.trust.support import KnnOfKind

        rng = np.random.default_rng(self.seed)
        part = data.part("train")
        seen_there = [i for i, k in enumerate(part.indices) if data.dataset.records[k].kind != ENCOUNTER]
        chosen = rng.permutation(seen_there)[: self.structures]
        target: Any = net
        seen: dict[int, list[Floats]] = {}
        batches = (
            collate([part[int(i)] for i in rows])
            for rows in np.array_split(chosen, max(1, len(chosen) // 16))
        )
        for batch in batches:
            answer = target.predict(batch.graph, forces=False, stress=False)
            for row in _with_elements(answer, batch):
                seen.setdefault(int(row[-1]), []).append(row)
        room = len(target.support_known) // max(1, len(seen))
        rows = [own[int(i)] for own in seen.values() for i in rng.permutation(len(own))[:room]]
        known = np.array(rows)
        k = min(3, len(known))
        if k < 2:  # a single atom has no scale
            target.support_known.fill_(torch.nan)
            return {"prototypes": 0, "elements": len(seen), "neighbours": 0, "held_out": 0}
        measure = KnnOfKind.fit(known, k)
        target.support_known[: len(known)] = torch.as_tensor(measure.known)
        target.support_known[len(known) :] = torch.nan
        target.support_element.zero_()
        target.support_element[: len(known)] = torch.as_tensor(measure.kinds).to(torch.uint8)
        target.support_scale.copy_(torch.as_tensor(measure.scale))
        distances = measure.distance(held) if len(held) else np.empty(0)
        picked = rng.permutation(distances)[: len(target.support_held)]
        target.support_held[:] = torch.nan
        target.support_held[: len(picked)] = torch.as_tensor(np.sort(picked))
        return {"prototypes": len(known), "elements": len(seen), "neighbours": k, "held_out": len(picked)}


def _at_rest(record: Any, source: str) -> bool:
    """Whether a record is of a source, with an energy, and not far from zero pressure (20 GPa)."""
    if record.source != source or record.energy is None or not np.isfinite(record.energy):
        return False
    return record.stress is None or abs(float(np.trace(record.stress)) / 3) < 20 * GPA


def _with_elements(answer: Any, batch: Any) -> Floats:
    """Descriptors [n, d + 1], the atomic number last."""
    return np.column_stack([answer.descriptor.double().numpy(), batch.graph.numbers.numpy()])


_Labelled = tuple[str, NDArray[np.int64], float, Told]
"""Source, atomic numbers, label in eV, and what the network says."""


def _told(batch: Any, answer: Any, known: NDArray[np.bool_], net: nn.Module) -> list[_Labelled]:
    """Structures with a label; none where the network has one head alone."""
    if answer.heads is None:
        return []
    of: Any = net
    graph, heads, energy = batch.graph, answer.heads.numpy(), answer.energy.tolist()
    around = answer.descriptor.new_zeros(graph.n_graphs, answer.descriptor.shape[1]).double()
    around.index_add_(0, graph.batch, answer.descriptor.double())
    numbers, place = graph.numbers.numpy(), graph.batch.numpy()
    return [
        (
            of.names[int(graph.source[k])],
            numbers[place == k],
            float(batch.energy[k]),
            Told(energy[k], heads[k], around[k].numpy()),
        )
        for k in np.flatnonzero(known)
    ]


def _columns(rows: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats] | None:
    """None where no held-out structure had such a label."""
    both = np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows])
    return both if len(both[0]) else None


def _set(net: nn.Module, data: DataModule, force: Any, energy: Any) -> str:
    """What intervals were measured on, in words."""
    if force is None and energy is None:
        return NOTHING_HELD
    records, target = data.dataset.records, net
    own = {records[k].source for k in data.part("calibrate").indices if records[k].group.startswith("own:")}
    if getattr(target, "names", [""])[getattr(target, "answers", 0)] in own:
        return "calibrate part of the split: blocks of the user's structures that were not trained on"
    return "calibrate part of the split: chemical systems that were not trained on"


def _with_energies(net: nn.Module, data: DataModule) -> list[str]:
    """Elements of which training had energies at the level that predictions answer at.

    Of others the zero of energy is a guess: their rest is learned from other levels, which count from
    elsewhere.
    """
    target: Any = net
    level = target.sources[target.names[target.answers]]
    found: set[int] = set()
    for index in data.split.parts.get("train", ()):
        record = data.dataset.records[int(index)]
        if record.energy is not None and target.sources[record.source] == level:
            found.update(int(z) for z in record.numbers)
    return [chemical_symbols[z] for z in sorted(found)]


def binned_quantiles(spread: Floats, error: Floats, alpha: float, bins: int) -> dict[str, Any]:
    """Conformal quantiles of error / spread, one per class of predicted spread; of few, Student's.

    Args:
        spread: predicted [n], > 0.
        error: absolute [n], same unit.
        alpha: share that may lie outside.
        bins: number of classes with equal counts.

    Returns:
        ``edges`` (upper ends of all classes but the last), ``quantiles`` (one per class), ``n``,
        ``coverage``.

    >>> found = binned_quantiles(np.ones(99), np.arange(1, 100.0), alpha=0.1, bins=1)
    >>> found["quantiles"], found["edges"], found["n"]
    ([90.0], [], 99)
    >>> [round(q, 2) for q in binned_quantiles(np.ones(2), np.ones(2), alpha=0.1, bins=1)["quantiles"]]
    [2.92]
    """
    edges = np.quantile(spread, np.linspace(0, 1, bins + 1)[1:-1])
    place = np.searchsorted(edges, spread, side="right")
    of = [error[place == b] / spread[place == b] for b in range(bins)]
    # a class that is empty, as all spreads are equal, is judged as all are together
    factors = np.array([_factor(some if len(some) else error / spread, alpha) for some in of])
    inside = error <= factors[place] * spread
    return {
        "edges": edges.tolist(),
        "quantiles": factors.tolist(),
        "n": len(error),
        "coverage": float(inside.mean()),
        "spearman": float(_spearman(spread, error)),
    }


def _factor(ratio: Floats, alpha: float) -> float:
    """The conformal quantile; of so few that none promises 1 - alpha, Student's, as if errors were normal.

    Who fine-tunes with fifty structures keeps two or three for calibration: an infinite spread says nothing.
    """
    found = quantile(ratio, alpha) if len(ratio) else np.inf
    if np.isfinite(found) or not len(ratio):
        return float(found)
    from scipy.stats import t

    return float(t.ppf(1 - alpha / 2, len(ratio)) * np.sqrt(np.mean(ratio**2)))


def _spearman(a: Floats, b: Floats) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic) if len(a) > 2 and np.ptp(a) > 0 else 0.0


def _closest(data: DataModule) -> Floats:
    """Shortest distance of each pair of elements in training, Å [119, 119]; infinite if never seen."""
    from sciai.atoms.model.network import ELEMENTS

    dataset: Structures = data.dataset
    out = np.full((ELEMENTS, ELEMENTS), np.inf)
    for index in map(int, data.split.parts["train"]):
        if dataset.records[index].kind == ENCOUNTER:
            continue  # nothing is known there but that it repels
        graph = dataset[index].graph
        i, j = graph.edges.numpy()
        vectors = (graph.positions[j] - graph.positions[i] + graph.shifts).numpy()
        z = graph.numbers.numpy()
        np.minimum.at(out, (z[i], z[j]), np.sqrt((vectors**2).sum(1)))
    return out
