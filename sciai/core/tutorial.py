"""A model small enough to read: noisy points of a sine. ``conf/domain/tutorial.yaml`` puts it together.

It shows what a domain hands to the shared path (dataset, network, loss, metrics, calibration) and nothing
else, trains in seconds, and needs no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sciai.core.errors import BadInput

__all__ = ["Calibrate", "Sine", "loss", "mean_and_log_sd", "metrics", "network"]


class Sine:
    """y = sin(x) + noise, measured in series: each series is a group, because its points share an offset.

    Args:
        n: number of points.
        per_group: points per series.
        noise: standard deviation of the noise of a point.
        seed: seed of the points.
    """

    def __init__(self, n: int = 512, per_group: int = 8, noise: float = 0.1, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.groups = [i // per_group for i in range(n)]
        offset = rng.normal(0, noise / 2, max(self.groups) + 1)[self.groups]
        self._x = rng.uniform(-3, 3, (n, 1)).astype("f4")
        self._y = (np.sin(self._x[:, 0]) + offset + rng.normal(0, noise, n)).astype("f4")
        self.provenance = {"source": "synthetic: sin(x) + series offset + noise", "points": n, "seed": seed}

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, index: int) -> dict[str, npt.NDArray[np.float32]]:
        """Point ``index``: x with shape (1,) and y with shape ()."""
        return {"x": self._x[index], "y": np.asarray(self._y[index])}


def network(width: int = 32) -> nn.Sequential:
    """(batch, 1) -> (batch, 2): mean and logarithm of the standard deviation."""
    return nn.Sequential(
        nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2)
    )


def mean_and_log_sd(net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Both of shape (batch,)."""
    mean, log_sd = net(x).unbind(-1)
    return mean, log_sd.clamp(-5, 2)


def loss(net: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """Gaussian negative log likelihood, up to a constant."""
    mean, log_sd = mean_and_log_sd(net, batch["x"])
    nll = (log_sd + 0.5 * ((batch["y"] - mean) / log_sd.exp()) ** 2).mean()
    return {"loss": nll, "n": len(batch["y"])}


def metrics(net: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """Mean absolute error."""
    mean, _ = mean_and_log_sd(net, batch["x"])
    return {"mae": (batch["y"] - mean).abs().mean(), "n": len(batch["y"])}


class Calibrate:
    """Scale of the intervals, from residuals of the part that was set aside for it.

    Args:
        quantile: ``(scores, alpha) -> quantile``; the config injects the conformal one of ``sciai.trust``,
            because ``core`` does not know that package.
        alpha: share of points that may fall outside.
    """

    def __init__(self, quantile: Callable[[npt.NDArray[Any], float], Any], alpha: float = 0.1) -> None:
        self.quantile, self.alpha = quantile, alpha

    def __call__(self, net: nn.Module, data: Any) -> dict[str, Any]:
        """Residuals in units of the predicted standard deviation -> their quantile."""
        scores = []
        with torch.no_grad():
            for batch in data.loader("calibrate"):
                mean, log_sd = mean_and_log_sd(net, batch["x"])
                scores.append(((batch["y"] - mean).abs() / log_sd.exp()).numpy())
        if not scores:
            raise BadInput("there is nothing to calibrate with", field="domain.data.fractions.calibrate")
        residuals = np.concatenate(scores)
        q = float(self.quantile(residuals, self.alpha))
        return {"data": "split part 'calibrate'", "n": len(residuals), "alpha": self.alpha, "scale": q}
