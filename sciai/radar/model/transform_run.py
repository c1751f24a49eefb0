"""The trained networks of the transform codec as functions of numpy planes of any geometry (torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sciai.core.errors import CheckpointError
from sciai.radar.model.transform_grid import ACT, LATENT_MAX, padded, prior_index
from sciai.radar.model.transform_net import Analysis, Synthesis, smooth_fill

__all__ = ["CodecNets"]


class CodecNets:
    """Analysis and synthesis of a checkpoint as the codec uses them: numpy in, numpy out, any geometry.

    Args:
        layout: latents, width of the analysis, four widths of the synthesis, classes.
        arrays: of the checkpoint; the ``analysis.`` ones may be absent.

    Raises:
        CheckpointError: when arrays do not fit the layout, sums could round, or the known answer differs.
    """

    def __init__(self, layout: Sequence[int], arrays: Mapping[str, NDArray[Any]]) -> None:
        latents, width, *widths, classes = layout
        self.latents, self.classes = latents, classes
        self._synthesis = Synthesis(latents, (widths[0], widths[1], widths[2], widths[3]), classes)
        _load(self._synthesis, "synthesis.", arrays)
        self._synthesis.check_exact()
        self._analysis = None
        if any(name.startswith("analysis.") for name in arrays):
            self._analysis = Analysis(latents, width, classes).eval()
            _load(self._analysis, "analysis.", arrays)
        if "known_answer" in arrays and not np.array_equal(self.known_answer(), arrays["known_answer"]):
            raise CheckpointError(
                "this machine computes the synthesis of the transform codec differently from the one that "
                "trained it, so it must not decode; check that no reduced-precision mode is forced on float32"
            )

    def known_answer(self) -> NDArray[np.int32]:
        """Output for a fixed input of every class, ``[classes, 2, 16, 24]``: what tells a wrong machine."""
        shape = (self.latents, 2, 3)
        latents = ((np.arange(np.prod(shape)) * 37) % 255 - 127).reshape(shape).astype(np.int32)
        valid = (np.arange(16 * 24).reshape(16, 24) * 29) % 7 > 1
        answers = []
        for kind in range(self.classes):
            mean, scale = self.synthesise(latents, valid, kind, True)
            answers.append(np.stack((np.rint(mean * ACT), scale)))
        return np.stack(answers).astype(np.int32)

    @classmethod
    def answer_of(cls, layout: Sequence[int], arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.int32]:
        """The known answer of arrays that have none yet."""
        return cls(layout, {k: v for k, v in arrays.items() if k != "known_answer"}).known_answer()

    def analyse(
        self, image: NDArray[np.float32], valid: NDArray[np.bool_], kind: int, full_circle: bool
    ) -> Any:
        """Integer latents of a plane, ``[latents, blocks, blocks]``; 0 in blocks without a valid gate.

        Args:
            image: normalised values, 0 where invalid, ``[rays, gates]``.
            valid: same shape.
            kind: class of the variable.
            full_circle: whether azimuth is periodic.

        Raises:
            CheckpointError: when this instance only decodes.
        """
        if self._analysis is None:
            raise CheckpointError(
                "this model of the transform codec decodes only; encode with the shipped one"
            )
        with torch.inference_mode():
            mask = torch.from_numpy(padded(valid).astype(np.float32))[None, None]
            values = smooth_fill(torch.from_numpy(padded(image))[None, None], mask)
            latents = self._analysis(values, mask, torch.tensor([kind]), full_circle)
            latents = torch.round(latents).clamp(-LATENT_MAX, LATENT_MAX)[0].to(torch.int32).numpy()
        return np.where(prior_index(valid, kind) >= 0, latents, 0)

    def synthesise(
        self, latents: NDArray[np.int32] | None, valid: NDArray[np.bool_], kind: int, full_circle: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Prediction in 35 dB steps and scale class of each gate, ``[rays, gates]``; the same everywhere.

        Args:
            latents: of `analyse`, or None for all 0.
            valid: ``[rays, gates]``.
            kind: class of the variable.
            full_circle: whether azimuth is periodic.
        """
        plane = padded(valid)
        if latents is None:
            latents = np.zeros((self.latents, plane.shape[0] // 8, plane.shape[1] // 8), np.int32)
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            mask = torch.from_numpy(plane.astype(np.float32))[None, None]
            mean, scale = self._synthesis(
                torch.from_numpy(latents.astype(np.float32))[None], mask, torch.tensor([kind]), full_circle
            )
        rays, gates = valid.shape
        return mean[0, :rays, :gates].numpy(), scale[0, :rays, :gates].numpy()


def _load(module: nn.Module, prefix: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    state = {
        n.removeprefix(prefix): torch.from_numpy(np.array(a))
        for n, a in arrays.items()
        if n.startswith(prefix)
    }
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"the arrays do not fit the transform codec: {error}") from error
    module.eval().requires_grad_(False)
