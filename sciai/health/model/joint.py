"""The neural joint model as ``Joint``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtr

from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import CheckpointError
from sciai.health.data.columns import Kind
from sciai.health.model.binned import Binned
from sciai.health.model.chain import BinnedJoint, patterns
from sciai.health.model.copula import Copula
from sciai.health.model.drawer import Drawer
from sciai.health.model.features import ZERO_TOGETHER
from sciai.health.model.interface import Predictive
from sciai.health.model.network import JointNet, Prepared
from sciai.health.model.plan import BLOCKS, drawing_plan

__all__ = ["NeuralJoint"]

Floats = npt.NDArray[np.float64]

_DRAWN = 2000  # rows that are sampled together
_KEPT = 64  # masks whose conditionals are kept
_SAME = 3  # blocks at the start of which few different people come in: the network sees each of them once
_SHAPE = ("width", "blocks", "members", "dropout", "plain")  # as a checkpoint stores them
_DRIFT = 0.006  # share of virtual humans; a smaller one may be the chance of the draws it was learned from


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
        self._drawers: dict[int, tuple[list[tuple[int, int]], Drawer]] = {}
        names = self.schema.names
        halves = self.schema["fasted"].fill if "fasted" in names else ()
        self._fasting = {names.index(name) for fill in halves for name in fill.where if name in names}
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
        told, place = self._told(known, columns)
        result: list[tuple[Floats, Floats | None]] = []
        for i in columns:
            kind, j = place[i]
            p = told[kind][:, :, j, : self.layout.margins[i].n_bins].double().exp().numpy()
            p = p / p.sum(-1, keepdims=True)
            result.append((p.mean(0), p if len(p) > 1 else None))
        return result

    def each(self, rows: Floats, names: Sequence[str]) -> list[Predictive]:
        """See ``BinnedJoint``."""
        values, own = self._checked(rows), [self.schema.index(name) for name in names]
        values[np.arange(len(own)), own] = np.nan
        told, place = self._told(values, list(dict.fromkeys(own)))
        found: dict[int, Predictive] = {}
        for kind in (0, 1):
            mine = [k for k, i in enumerate(own) if place[i][0] == kind]
            # of each row its own column alone, all in one go
            p = told[kind][:, mine, [place[own[k]][1] for k in mine]].double().exp().numpy()
            p = p / p.sum(-1, keepdims=True)
            for j, k in enumerate(mine):
                margin = self.layout.margins[own[k]]
                members = p[:, j : j + 1, : margin.n_bins]
                found[k] = Binned(margin, members.mean(0), members if len(members) > 1 else None)
        return [found[k] for k in range(len(own))]

    def _told(
        self, known: Floats, columns: Sequence[int]
    ) -> tuple[tuple[torch.Tensor, torch.Tensor], dict[int, tuple[int, int]]]:
        """What the network says of some columns of all rows, numbers and others apart; and where each is."""
        numbers = [i for i in columns if i in self._numeric]
        levels = [i for i in columns if i in self._discrete]
        with torch.inference_mode():
            prepared = self.net.prepare_alike(self.copula.scores(known), ~np.isnan(known))
            told = self.net(prepared, self._places(numbers), self._places(levels))
        return told, {i: (k, j) for k, own in enumerate((numbers, levels)) for j, i in enumerate(own)}

    def _places(self, columns: Sequence[int]) -> torch.Tensor:
        """Places of columns of one sort (numeric, or not) among those."""
        return torch.tensor([self._numeric.get(i, self._discrete.get(i)) for i in columns], dtype=torch.long)

    def sample(self, known: Floats, rng: np.random.Generator, only: Sequence[str] | None = None) -> Floats:
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

        given = self._givens()
        wanted = None if only is None else {self.schema.index(name) for name in only}

        def fill(k: int) -> None:
            rows, mask = parts[k]
            values[rows] = self._fill(values[rows], mask, own[k], given, wanted=wanted)

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

    def settle(self, n: int = 10_000, seed: int = 0) -> Floats:
        """Learn how far single columns of virtual humans drift from the margins, and undo it from now on.

        A person is drawn block after block, and small errors of what was drawn first add up in what follows.
        So each column of each member of the ensemble gets a monotone map: from the share of virtual humans
        up to the end of each bin to that of the people learned from. Maps are made in the order of drawing:
        later columns follow values that were put right, and what they owe to them stays. A column that is
        off by less than ``_DRIFT`` has none. Fasting values are known of people who fasted, so those of
        virtual humans who fasted count.

        Args:
            n: virtual humans of each member.
            seed: of their draws.

        Returns:
            Share up to the end of each bin, of every column after another, shape (members, bins).
        """
        self.net.drawn = np.empty((len(self.net.members), int(self.layout.starts[-1])))
        given = self._givens()
        for member in range(len(self.net.members)):
            blank = np.full((n, len(self.schema)), np.nan)
            rng = np.random.default_rng([seed, member])
            self._fill(blank, np.zeros(len(self.schema), bool), rng, given, member, learn=True)
        return self.net.drawn

    def _moved(self, member: int, i: int, ends: npt.NDArray[Any] | None) -> Floats | None:
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
        givens: Callable[[bytes, tuple[int, ...]], _Given],
        member: int | None = None,
        learn: bool = False,
        wanted: Set[int] | None = None,
    ) -> Floats:
        """Unknown values of rows that share a mask, filled in.

        Args:
            values: shape (n, d), changed.
            mask: what is known in all rows, shape (d,).
            rng: the source of chance.
            givens: see ``_givens``.
            member: of the ensemble; None draws one.
            learn: whether the columns' drift is learned (``settle``); it is undone where nothing is known.
            wanted: places of the columns that are drawn; None draws all.
        """
        copula, mask, blank = self.copula, mask.copy(), not mask.any()
        z = np.nan_to_num(copula.scores(values)).astype("f4")
        member = int(rng.integers(len(self.net.members))) if member is None else member
        for number, block in enumerate(self.plan):
            todo = [i for i in block if not mask[i] and (wanted is None or i in wanted)]
            if not todo:
                continue
            numbers = [i for i in todo if i in self._numeric]
            levels = [i for i in todo if i in self._discrete]
            given = givens(mask.tobytes(), tuple(todo))
            u = np.clip(self._uniforms(given, todo, len(values), rng), 1e-7, 1 - 1e-7)
            first, which = _distinct(z[:, given.seen]) if number < _SAME else (None, None)
            prepared = given.prepared(z if first is None else z[first])
            places = [self._numeric[i] for i in numbers], [self._discrete[i] for i in levels]
            per_column = self._drawer(member).ends(prepared, *places)
            for i, own in zip([*numbers, *levels], per_column, strict=True):
                margin = self.layout.margins[i]
                own = own if which is None else own[which]
                like = values[:, self.schema.index("fasted")] == 1 if i in self._fasting else slice(None)
                moved = self._moved(member, i, own[like] if learn else None) if blank else None
                values[:, i] = margin.draw(own, u[:, todo.index(i)], moved)
                z[:, copula.span(i)] = copula.score(i, values[:, i])
            mask[todo] = True
        return values

    def _drawer(self, member: int) -> Drawer:
        """A member made ready to draw from; made anew when its weights were changed."""
        now = [(id(w), w._version) for w in self.net.members[member].parameters()]
        made = self._drawers.get(member)
        if made is None or made[0] != now:
            made = self._drawers[member] = (now, Drawer(self.net, member))
        return made[1]

    def _givens(self) -> Callable[[bytes, tuple[int, ...]], _Given]:
        """What the copula says of some columns (by their places) where those of a mask (as bytes) are known;
        the latest are kept, for all chunks of rows of one call."""

        @functools.lru_cache(maxsize=_KEPT)
        def given(mask: bytes, columns: tuple[int, ...]) -> _Given:
            return _Given(self.copula, np.frombuffer(mask, bool), columns)

        return given

    def _uniforms(self, given: _Given, columns: Sequence[int], n: int, rng: np.random.Generator) -> Floats:
        """Uniform numbers, shape (n, columns), that hang together as the copula's latents do given the mask;
        those of a column whose levels have no order are independent."""
        normal = rng.standard_normal((n, len(columns)), dtype=np.float32)
        if len(given.ordered) > 1:
            normal[:, given.ordered] = normal[:, given.ordered] @ given.factor.T
        return np.asarray(ndtr(normal.astype(float)))  # in single precision tails end early


class _Given:
    """What the copula says of the columns of a block, for all rows that know the same columns."""

    def __init__(self, copula: Copula, mask: npt.NDArray[np.bool_], columns: Sequence[int]) -> None:
        kinds = [copula.schema.columns[i].kind for i in columns]
        self.ordered = [j for j, kind in enumerate(kinds) if kind is not Kind.CATEGORICAL]
        if len(self.ordered) > 1:
            within = copula.latent_covariance(mask, [columns[j] for j in self.ordered])
            self.factor = np.linalg.cholesky(within + 1e-9 * np.eye(len(within))).astype("f4")
        self.seen = mask[copula.owner]
        cross = copula.correlation[self.seen]
        weights = np.linalg.solve(cross[:, self.seen], cross) if self.seen.any() else cross
        variance = 1 - np.einsum("od,od->d", cross, weights) / copula.scale**2
        sd = np.sqrt(np.clip(variance, copula.least_sd**2, 1.0))
        self._sd = np.where(self.seen, 1, sd).astype("f4")
        self._weights = np.where(self.seen, 0, weights / copula.scale).astype("f4")

    def prepared(self, z: npt.NDArray[np.float32]) -> Prepared:
        """What the network takes of rows with these scores, shape (n, D)."""
        told = np.broadcast_to(self.seen.astype("f4"), z.shape)
        spread = np.broadcast_to(self._sd, z.shape)
        arrays = (z * told, told, z[:, self.seen] @ self._weights, spread)
        return Prepared(*(torch.from_numpy(np.require(a, "f4", ["C", "W"])) for a in arrays))


def _distinct(
    scores: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | tuple[None, None]:
    """One row of each kind, and of which kind every row is; nothing where there are many kinds."""
    if not scores.shape[1]:
        return np.zeros(1, np.int64), np.zeros(len(scores), np.int64)
    _, first, which = np.unique(scores, axis=0, return_index=True, return_inverse=True)
    return (first, which.reshape(-1)) if len(first) * 4 <= len(scores) else (None, None)
