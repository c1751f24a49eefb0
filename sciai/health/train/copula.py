"""The Gaussian copula through the shared path: it is fitted to the training part before the (only) step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sciai.core.checkpoint import Checkpoint
from sciai.health.model.binned import Binned
from sciai.health.model.chain import BinnedJoint
from sciai.health.model.copula import Copula, CopulaJoint, fit_copula
from sciai.health.model.held_out import calibrate as learn
from sciai.health.model.interface import Predictive
from sciai.health.train.figures import figures
from sciai.health.train.masks import hide
from sciai.health.train.source import training_people, training_rows

__all__ = ["CopulaNet", "calibrate", "evaluate", "export", "held_out", "loss", "network", "restore"]

Floats = npt.NDArray[np.float64]

_HELD = ("calibrate", "val")


class CopulaNet(nn.Module):
    """Holds a fitted copula where the shared path expects a network."""

    def __init__(self, copula: Copula) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))  # an optimizer needs something to hold
        self.copula = copula


def network(data: Mapping[str, Any], rounds: int = 8, shrink: float = 0.02, fewest: int = 20) -> CopulaNet:
    """Fit the copula to the training part of a data module.

    Args:
        data: config of the data module (``${domain.data}``).
        rounds: of expectation-maximisation.
        shrink: share of the identity in the correlation.
        fewest: people in a cell of a margin.
    """
    people = training_people(data)
    return CopulaNet(fit_copula(people.schema, people.values, rounds=rounds, shrink=shrink, fewest=fewest))


def loss(net: CopulaNet, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """Mean NLL in nats of values that are hidden at random, over bins."""
    values = batch["values"].double().numpy()
    known, asked = hide(net.copula.schema, values, np.random.default_rng(len(values)))
    return {
        "loss": net.nothing.sum() * 0 + bin_nll(CopulaJoint(net.copula), values, known, asked),
        "n": len(values),
    }


def bin_nll(joint: CopulaJoint, values: Floats, known: Floats, asked: npt.NDArray[np.bool_]) -> float:
    """Mean over hidden values of minus the log probability of their bin."""
    told = joint.bins(known, range(values.shape[1]))
    true = joint.layout.bins_of(values)
    nll = np.stack(
        [-np.log(np.take_along_axis(p, true[:, i, None], 1)[:, 0]) for i, (p, _) in enumerate(told)], 1
    )
    return float(nll[asked].mean())


def calibrate(net: CopulaNet, data: Any, passes: int = 4) -> dict[str, Any]:
    """Intervals, risks and counts from the calibration part (``sciai.health.model.calibration``)."""
    return calibration_of(CopulaJoint(net.copula), data, passes)


def calibration_of(joint: BinnedJoint, data: Any, passes: int = 4) -> dict[str, Any]:
    """What ``sciai.health.model.calibration`` learns from held-out people; empty where there are none.

    These are the calibration part and the validation part together: a line for each diagnosis needs cases.
    The validation part also chose when to stop, which is too little to matter to a line or a quantile.

    Args:
        joint: the model.
        data: the data module; its dataset is ``People`` or like it.
        passes: how often each person is looked at, with other parts hidden.
    """
    rows, train = held_out(data), training_rows(data)
    if not len(rows):
        return {}
    people = data.dataset
    held, seen = people.values[rows], people.values[train]
    told = learn(_WhereUnknown(joint), held, seen, weights=people.weights[train], passes=passes)
    parts = " and ".join(p for p in _HELD if p in data.split.parts)
    return {"data": f"split part {parts}, {len(rows)} people", **told}


def held_out(data: Any) -> npt.NDArray[np.int64]:
    """Rows of the calibration and the validation part."""
    parts = [np.asarray(data.split.parts[p], np.int64) for p in _HELD if p in data.split.parts]
    return np.concatenate([*parts, np.zeros(0, np.int64)])


class _WhereUnknown:
    """A model that is only believed where the target is unknown: all targets then share one pass.

    Calibration asks for every column of everybody, and uses the answers of those who do not tell it.
    """

    def __init__(self, joint: BinnedJoint) -> None:
        self.schema, self.sample, self.log_prob = joint.schema, joint.sample, joint.log_prob
        self._joint = joint

    def predictive(self, known: Floats, targets: Sequence[str]) -> dict[str, Predictive]:
        places = [self.schema.index(name) for name in targets]
        told = self._joint.shared(known, places)
        return {
            name: Binned(self._joint.layout.margins[i], p, members)
            for name, i, (p, members) in zip(targets, places, told, strict=True)
        }


def evaluate(net: CopulaNet, data: Any) -> dict[str, float]:
    """NLL and AUROC on the test part (``sciai.health.train.figures``)."""
    return figures(CopulaJoint(net.copula), data)


def export(net: CopulaNet) -> dict[str, npt.NDArray[Any]]:
    """Margins and correlation."""
    return net.copula.to_arrays()


def restore(net: CopulaNet, checkpoint: Checkpoint) -> None:
    """The way back."""
    net.copula = Copula.from_arrays(checkpoint.arrays)
