"""The neural joint model as ``Joint``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtr

from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import CheckpointError
from sciai.health.data.columns import Kind
from sciai.health.model.chain import BinnedJoint, patterns
from sciai.health.model.copula import Copula
from sciai.health.model.features import ZERO_TOGETHER
from sciai.health.model.network import JointNet, Prepared
from sciai.health.model.plan import BLOCKS, drawing_plan

__all__ = ["NeuralJoint"]

Floats = npt.NDArray[np.float64]

_DRAWN = 1000  # rows that are sampled together
_HALF = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
_SHAPE = ("width", "blocks", "members", "dropout", "plain")  # as a checkpoint stores them
_DRIFT = 0.006  # share of virtual humans; a smaller one may be the chance of the draws it was learned from
_ALIKE = 4  # rows per mask from which one factorisation per mask is faster than one per row


class NeuralJoint(BinnedJoint):
    """Answers of a trained network.

    Args:
        net: the network.
        blocks: passes of a joint sample; more follow the network's own dependence more closely.
    """

    def __init__(self, net: JointNet, blocks: int = BLOCKS) -> None:
        super().__init__(net.copula.schema, net.copula.layout, chunk=512)
        self.net, self.copula = net.eval(), net.copula
        self._numeric = {i: j for j, i in enumerate(net.numeric)}
        self._discrete = {i: j for j, i in enumerate(net.discrete)}
        self.plan = drawing_plan(net.copula, blocks)
        names = self.schema.names
        self._tied = {names.index(name) for pair in ZERO_TOGETHER for name in pair if name in names}

    @classmethod
    def load(cls, checkpoint: Checkpoint) -> NeuralJoint:
        """From a checkpoint whose card says ``extra.model: joint``.

        Raises:
            CheckpointError: when it does not hold one.
        """
        arrays = checkpoint.arrays
        copula = Copula.from_arrays(arrays)
        try:
            width, blocks, members, dropout, *rest = (float(v) for v in arrays["net.shape"])
            plain = rest != [0.0]  # of a checkpoint of the first making there is nothing said about it
            net = JointNet(copula, int(width), int(blocks), int(members), dropout, plain)
            state = {
                k[4:]: torch.from_numpy(np.array(v, "f4")) for k, v in arrays.items() if k.startswith("net.m")
            }
            net.load_state_dict(state)
            net.drawn = None if "drawn" not in arrays else np.asarray(arrays["drawn"], float)
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"checkpoint {checkpoint.card.name!r} does not hold the network it describes: {error}"
            ) from error
        return cls(net)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What a checkpoint stores: the copula, and the weights in half precision."""
        arrays: dict[str, npt.NDArray[Any]] = dict(self.copula.to_arrays())
        shape: Mapping[str, float] = self.net.shape
        arrays["net.shape"] = np.array([float(shape[k]) for k in _SHAPE])
        for name, tensor in self.net.state_dict().items():
            arrays[f"net.{name}"] = tensor.detach().cpu().numpy().astype("f2")
        if self.net.drawn is not None:
            arrays["drawn"] = self.net.drawn.astype("f4")
        return arrays

    def bins(self, known: Floats, columns: Sequence[int]) -> list[tuple[Floats, Floats | None]]:
        """See ``BinnedJoint``."""
        there = ~np.isnan(known)
        scores = self.copula.scores(known)
        masks, _ = patterns(there)
        numbers = [i for i in columns if i in self._numeric]
        levels = [i for i in columns if i in self._discrete]
        with torch.inference_mode():
            alike = len(masks) * _ALIKE <= len(known) or len(known) < _ALIKE
            prepared = (self.net.prepare_alike if alike else self.net.prepare)(scores, there)
            told = self.net(prepared, self._places(numbers), self._places(levels))
        place = {i: (k, j) for k, own in enumerate((numbers, levels)) for j, i in enumerate(own)}
        result: list[tuple[Floats, Floats | None]] = []
        for i in columns:
            kind, j = place[i]
            p = told[kind][:, :, j, : self.layout.margins[i].n_bins].double().exp().numpy()
            p = p / p.sum(-1, keepdims=True)
            result.append((p.mean(0), p if len(p) > 1 else None))
        return result

    def _places(self, columns: Sequence[int]) -> torch.Tensor:
        """Places of columns of one sort (numeric, or not) among those."""
        return torch.tensor([self._numeric.get(i, self._discrete.get(i)) for i in columns], dtype=torch.long)

    def sample(self, known: Floats, rng: np.random.Generator) -> Floats:
        """See ``Joint``: block after block. Each column of a block follows the network's distribution given
        all that came before; inside a block, columns hang together as the copula's latents do. Each chunk
        of rows follows one member of the ensemble, drawn at random: together they follow its mixture.
        Chunks have random numbers of their own, so that the number of threads does not change a value."""
        values = self._checked(known)
        masks, which = patterns(~np.isnan(values))
        parts = []
        for k, mask in enumerate(masks):
            rows = np.flatnonzero(which == k)
            parts += [(rows[start : start + _DRAWN], mask) for start in range(0, len(rows), _DRAWN)]
        own = [np.random.default_rng(int(seed)) for seed in rng.integers(2**63, size=len(parts))]

        def fill(k: int) -> None:
            rows, mask = parts[k]
            values[rows] = self._fill(values[rows], mask, own[k])

        threads = min(torch.get_num_threads(), len(parts))
        if threads < 2:
            for k in range(len(parts)):
                fill(k)
            return values
        # a chunk's products are too small to be worth sharing: two threads for one were slower than one
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                list(pool.map(fill, range(len(parts))))
        finally:
            torch.set_num_threads(before)
        return values

    def settle(self, n: int = 4000, seed: int = 0) -> Floats:
        """Learn how far single columns of virtual humans drift from the margins, and undo it from now on.

        A person is drawn block after block, and small errors of what was drawn first add up in what follows.
        So each column of each member of the ensemble gets a monotone map: from the share of virtual humans
        up to the end of each bin to that of the people learned from. Maps are made in the order of drawing:
        later columns follow values that were put right, and what they owe to them stays. A column that is
        off by less than ``_DRIFT`` has none.

        Args:
            n: virtual humans of each member.
            seed: of their draws.

        Returns:
            Share up to the end of each bin, of every column after another, shape (members, bins).
        """
        self.net.drawn = np.empty((len(self.net.members), int(self.layout.starts[-1])))
        for member in range(len(self.net.members)):
            blank = np.full((n, len(self.schema)), np.nan)
            rng = np.random.default_rng([seed, member])
            self._fill(blank, np.zeros(len(self.schema), bool), rng, member, learn=True)
        return self.net.drawn

    def _moved(self, member: int, i: int, ends: Floats | None) -> Floats | None:
        """Where the bounds of column i's bins go; learned from ``ends`` first where they are given."""
        if self.net.drawn is None:
            return None
        own, margin = self.net.drawn[member, self.layout.span(i)], self.layout.margins[i]
        if ends is not None:
            own[:] = ends.mean(0)
            right = margin.bin_edges[1:]
            if i in self._tied:  # moved apart, one could be 0 without the other
                own[:] = right[0] + (own - own[0]) * (1 - right[0]) / max(1 - own[0], 1e-9)
            own[:] = right if np.abs(own - right).max() < _DRIFT else own
            own[-1] = 1.0
        return np.concatenate([[0.0], own])

    def _fill(
        self,
        values: Floats,
        mask: npt.NDArray[np.bool_],
        rng: np.random.Generator,
        member: int | None = None,
        learn: bool = False,
    ) -> Floats:
        """Unknown values of rows that share a mask, filled in.

        Args:
            values: shape (n, d), changed.
            mask: what is known in all rows, shape (d,).
            rng: the source of chance.
            member: of the ensemble; None draws one.
            learn: whether the columns' drift is learned (``settle``); it is undone where nothing is known.
        """
        copula, mask, blank = self.copula, mask.copy(), not mask.any()
        z = np.nan_to_num(copula.scores(values)).astype("f4")
        member = int(rng.integers(len(self.net.members))) if member is None else member
        for block in self.plan:
            todo = [i for i in block if not mask[i]]
            if not todo:
                continue
            numbers = [i for i in todo if i in self._numeric]
            levels = [i for i in todo if i in self._discrete]
            u = np.clip(self._uniforms(mask, todo, len(values), rng), 1e-7, 1 - 1e-7)
            prepared = self._prepared(z, mask)
            # half precision is a few times faster where the processor has it, and exact enough to draw from
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=_HALF):
                told = self.net(prepared, self._places(numbers), self._places(levels), [member])
            ends = [logs[0].float().exp().cumsum(-1).numpy() for logs in told]
            per_column = [e for both in ends for e in both.swapaxes(0, 1)]
            for i, own in zip([*numbers, *levels], per_column, strict=True):
                margin = self.layout.margins[i]
                own = own[:, : margin.n_bins]
                moved = self._moved(member, i, own if learn else None) if blank else None
                values[:, i] = margin.draw(own, u[:, todo.index(i)], moved)
                z[:, copula.span(i)] = copula.score(i, values[:, i])
            mask[todo] = True
        return values

    def _prepared(self, z: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> Prepared:
        """What the network takes, for rows that share a mask."""
        copula = self.copula
        seen = mask[copula.owner]
        cross = copula.correlation[seen]
        weights = np.linalg.solve(cross[:, seen], cross) if seen.any() else cross
        variance = 1 - np.einsum("od,od->d", cross, weights) / copula.scale**2
        sd = np.sqrt(np.clip(variance, copula.least_sd**2, 1.0))
        mean = z[:, seen] @ (weights / copula.scale).astype("f4")
        told = np.broadcast_to(seen.astype("f4"), z.shape)
        spread = np.broadcast_to(np.where(seen, 1, sd).astype("f4"), z.shape)
        arrays = (z * told, told, np.where(seen, 0, mean), spread)
        return Prepared(*(torch.from_numpy(np.require(a, "f4", ["C", "W"])) for a in arrays))

    def _uniforms(
        self, mask: npt.NDArray[np.bool_], columns: Sequence[int], n: int, rng: np.random.Generator
    ) -> Floats:
        """Uniform numbers, shape (n, columns), that hang together as the copula's latents do given the mask;
        those of a column whose levels have no order are independent."""
        ordered = [j for j, i in enumerate(columns) if self.schema.columns[i].kind is not Kind.CATEGORICAL]
        normal = rng.standard_normal((n, len(columns)))
        if len(ordered) > 1:
            within = self.copula.latent_covariance(mask, [columns[j] for j in ordered])
            factor = np.linalg.cholesky(within + 1e-9 * np.eye(len(ordered)))
            normal[:, ordered] = normal[:, ordered] @ factor.T
        return np.asarray(ndtr(normal))
