"""Training of the context codec: gates with their features as a dataset, the loss, export to integers.

The features are those that the coder computes (`sciai.radar.model.context.features.collect`), so nothing is
trained on anything that a decoder will not see. The loss is the code length: the binary cross-entropy, in
bits, of the decisions that code the distance between an index and its prediction. In the codec the
network's logits are only one voice of a mixture; it is trained alone, which is simple and costs little,
since the mixture corrects it online.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput
from sciai.radar.model.context import CLASSES, ContextCodec, class_of, twin_of
from sciai.radar.model.context.features import FEATURES, collect
from sciai.radar.model.context.tables import compander
from sciai.radar.model.context.values import DECISIONS, HIDDEN, UNARY
from sciai.radar.train.volumes import Sweep, load_all, peak_of, shared_radar, volume_sets

__all__ = ["Evaluate", "Gates", "Network", "decisions", "export", "loss", "metrics", "network", "restore"]

_NONE8 = np.zeros((0, 0), np.uint8)
_NONE32 = np.zeros((0, 0), np.int32)
_SCALE = 256.0  # features and logits are Q8
_WEIGHT = 1024.0  # weights are Q10


class Gates:
    """Gates of real or simulated volumes: blocks of features and distances.

    Args:
        folder: with the volumes; None takes ``$SCIAI_SHARED/data/radar`` or ``../shared/data/radar``.
        volumes: ``(key, group, sweeps)`` already in memory, instead of a folder.
        psnr: qualities in dB; each variable of each volume is quantised at one of them.
        block: gates in an item.
        per_plane: blocks taken of one plane at most.
        max_sweeps: of each volume, evenly chosen.
        group_by: ``group`` (radar, or night where several radars saw the same) or ``radar``.
        only: keys of volumes to use; None uses all.
        seed: of every choice.

    Raises:
        BadInput: when there is no gate to learn from.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        volumes: Sequence[tuple[str, str, Sequence[Sweep]]] | None = None,
        *,
        psnr: Sequence[float] = (32, 35, 35, 38, 42, 48),
        block: int = 256,
        per_plane: int = 24,
        max_sweeps: int = 8,
        group_by: str = "group",
        only: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        self.block, self.per_plane = block, per_plane
        self.groups: list[str] = []
        self.names: list[tuple[str, str, str]] = []  # volume, sweep, variable
        self._features: list[NDArray[np.int16]] = []
        self._distances: list[NDArray[np.int32]] = []
        self._kinds: list[int] = []
        self._rng = np.random.default_rng(seed)
        digests: dict[str, str] = {}
        before: tuple[str, Sequence[Sweep]] | None = None
        for key, group, sweeps in _stream(folder, volumes, group_by, only):
            crc = 0
            quality = {v: float(self._rng.choice(psnr)) for s in sweeps for v in sorted(s.variables)}
            chosen = _spread(len(sweeps), max_sweeps)
            for at in chosen:
                earlier = before[1][at] if before and before[0] == group and at < len(before[1]) else None
                lower = sweeps[at - 1] if at else None
                crc = zlib.crc32(
                    str(self._add(key, group, sweeps, at, quality, earlier, lower)).encode(), crc
                )
            digests[key] = f"{crc:08x}"
            before = group, sweeps
        if not self._features:
            raise BadInput("no volume has enough valid gates", field="domain.data.dataset")
        self.provenance = {"volumes": digests, "gates": len(self) * block, "psnr": [float(p) for p in psnr]}

    def _add(
        self,
        key: str,
        group: str,
        sweeps: Sequence[Sweep],
        at: int,
        quality: Mapping[str, float],
        earlier: Sweep | None,
        lower: Sweep | None,
    ) -> int:
        sweep, total = sweeps[at], 0
        for name, (values, validity) in sweep.variables.items():
            twin_name = twin_of(name, list(sweep.variables))
            psnr = quality[twin_name or name]
            step = math.sqrt(12) * peak_of(name, sweeps) / 10 ** (psnr / 20)
            plane = _indices(values, validity, step)
            if plane is None:
                continue
            twin = _indices(*sweep.variables[twin_name], step) if twin_name else None
            # The same sweep of the volume before, or the sweep below in its place: both look alike, and
            # codecs are given neither most of the time.
            other = earlier if earlier is not None and self._rng.random() < 0.5 else None
            if other is None and self._rng.random() < 0.25:
                other = lower
            ref = (
                _indices(*other.variables[name], step)
                if other is not None and name in other.variables
                else None
            )
            if ref is not None and ref[0].shape != plane[0].shape:
                ref = None
            total += self._blocks(key, group, sweep.name, name, plane, twin, ref)
        return total

    def _blocks(self, key: str, group: str, sweep: str, name: str, plane: Any, twin: Any, ref: Any) -> int:
        indices, mask = plane
        valid = mask == 0
        count = int(valid.sum())
        if count < self.block:
            return 0
        features, distances = np.zeros((count, FEATURES), np.int32), np.zeros(count, np.int32)
        low, high = int(indices[valid].min()), int(indices[valid].max())
        circular = CLASSES[class_of(name)] in ("PHIDP", "VRADH") and high - low > 3
        period = high - low + 1 if circular else 0
        beside, before = twin or (_NONE32, _NONE8), ref or (_NONE32, _NONE8)
        collect(
            indices, mask, low, high, period, beside[0], beside[1], before[0], before[1], compander(),
            features, distances,
        )  # fmt: skip
        order = self._rng.permutation(count)[: min(self.per_plane, count // self.block) * self.block]
        for part in order.reshape(-1, self.block):
            self._features.append(features[part].astype(np.int16))
            self._distances.append(distances[part])
            self._kinds.append(class_of(name))
            self.groups.append(group)
            self.names.append((key, sweep, name))
        return int(np.abs(distances).sum())

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``features`` int16 [block, 48], ``distances`` int32 [block], ``kind`` [block]."""
        return self._item(index, self._kinds[index])

    def item(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """The same; one block in ten hides its variable, so that unknown names are served too."""
        return self._item(index, 0 if rng.random() < 0.1 else self._kinds[index])

    def _item(self, index: int, kind: int) -> dict[str, Any]:
        return {
            "features": self._features[index],
            "distances": self._distances[index],
            "kind": np.full(self.block, kind, np.int64),
        }


def _stream(folder: Any, volumes: Any, group_by: str, only: Sequence[str] | None) -> Any:
    if volumes is not None:
        yield from volumes
        return
    where = Path(folder) if folder else shared_radar()
    if where is None:
        raise BadInput(
            "no folder of radar volumes to train on",
            field="domain.data.dataset.folder",
            fix="set it, or SCIAI_SHARED",
        )
    for volume, sweeps in load_all([v for v in volume_sets(where) if only is None or v.key in only]):
        yield volume.key, volume.group if group_by == "group" else volume.radar, sweeps


def _spread(count: int, most: int) -> list[int]:
    return (
        sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())) if count else []
    )


def _indices(values: NDArray[np.float32], validity: NDArray[np.uint8], step: float) -> Any:
    valid = (validity == 0) & (np.abs(values) < 1e6 * step)
    if not valid.any():
        return None
    scaled = np.where(valid, values, np.float32(0)) / np.float32(step)
    return np.floor(scaled + 0.5).astype(np.int32), np.where(valid, 0, 1).astype(np.uint8)


class Network(nn.Module):
    """Features of a gate and the class of its variable -> logits of the decisions.

    features [n, 48] in units of 1 (Q8 / 256), kind [n] -> [n, 12]. One weight matrix serves all variables; a
    class has biases of its own in the first and the last layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, HIDDEN)
        self.second = nn.Linear(HIDDEN, HIDDEN)
        self.last = nn.Linear(HIDDEN, DECISIONS)
        self.first_bias = nn.Embedding(len(CLASSES), HIDDEN)
        self.last_bias = nn.Embedding(len(CLASSES), DECISIONS)
        nn.init.zeros_(self.first_bias.weight)
        nn.init.zeros_(self.last_bias.weight)

    def forward(self, features: Tensor, kind: Tensor) -> Tensor:
        """Logits."""
        hidden = functional.relu(self.first(features) + self.first_bias(kind))
        hidden = functional.relu(self.second(hidden))
        out: Tensor = self.last(hidden) + self.last_bias(kind)
        return out


def network() -> nn.Module:
    """The network to train."""
    return Network()


def decisions(distances: Tensor) -> tuple[Tensor, Tensor]:
    """Outcome of every decision, and whether it is asked at all, bool [n, 12] each.

    Example:
        >>> outcome, asked = decisions(torch.tensor([0, 2]))
        >>> asked.sum(1).tolist(), (outcome & asked)[1].nonzero().flatten().tolist()
        ([1, 4], [1, 2])
    """
    away = distances.abs()
    outcome, asked = [away == 0, distances > 0], [torch.ones_like(away, dtype=torch.bool), away != 0]
    for sign in (1, -1):
        for k in range(1, UNARY + 1):
            outcome.append(away > k)
            asked.append(distances * sign >= k)
    return torch.stack(outcome, 1), torch.stack(asked, 1)


def _bits(net: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Bits per gate [n] under the network alone, escapes beyond `UNARY` not counted."""
    features = batch["features"].flatten(0, 1).float() / _SCALE
    distances, kind = batch["distances"].flatten(), batch["kind"].flatten()
    outcome, asked = decisions(distances)
    logits = net(features, kind)
    nats = functional.binary_cross_entropy_with_logits(logits, outcome.to(logits.dtype), reduction="none")
    return (nats * asked).sum(1) / math.log(2)


def loss(net: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """Bits per valid gate.

    Args:
        net: of `network`.
        batch: of `Gates`.
    """
    return {"loss": _bits(net, batch).mean(), "n": len(batch["features"])}


def metrics(net: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """Bits per valid gate under the network alone; the codec's mixture does better."""
    return {"network_bits_per_valid_gate": _bits(net, batch).mean(), "n": len(batch["features"])}


def export(net: nn.Module) -> dict[str, NDArray[Any]]:
    """Integers of the network: weights Q10 (at most 8), biases Q18, one row of biases per class.

    Args:
        net: of `network`, trained.
    """

    def integers(tensor: Tensor, scale: float, most: int) -> NDArray[Any]:
        return np.clip(np.rint(tensor.detach().double().cpu().numpy() * scale), -most, most).astype(np.int32)

    def padded(array: NDArray[Any]) -> NDArray[Any]:
        return np.pad(array, [(0, HIDDEN - array.shape[0])] + [(0, 0)] * (array.ndim - 1))

    n: Any = net
    most = 2**28
    first = integers(n.first.bias + n.first_bias.weight, _WEIGHT * _SCALE, most)
    last = integers(n.last.bias + n.last_bias.weight, _WEIGHT * _SCALE, most)
    second = integers(n.second.bias, _WEIGHT * _SCALE, most)
    return {
        "w1": integers(n.first.weight, _WEIGHT, 8191),
        "w2": integers(n.second.weight, _WEIGHT, 8191),
        "w3": padded(integers(n.last.weight, _WEIGHT, 8191)),
        "b1": first,
        "b2": np.tile(second, (len(CLASSES), 1)),
        "b3": np.ascontiguousarray(padded(last.T).T),
    }


def restore(net: nn.Module, checkpoint: Checkpoint) -> None:
    """Put the arrays of `export` back (rounded as they are).

    Args:
        net: of `network`.
        checkpoint: of a run.
    """
    a = {k: torch.from_numpy(np.array(v, np.float64)) for k, v in checkpoint.arrays.items()}
    n: Any = net
    with torch.no_grad():
        n.first.weight.copy_(a["w1"] / _WEIGHT)
        n.second.weight.copy_(a["w2"] / _WEIGHT)
        n.last.weight.copy_(a["w3"][:DECISIONS] / _WEIGHT)
        n.first.bias.zero_()
        n.last.bias.zero_()
        n.second.bias.copy_(a["b2"][0] / (_WEIGHT * _SCALE))
        n.first_bias.weight.copy_(a["b1"] / (_WEIGHT * _SCALE))
        n.last_bias.weight.copy_(a["b3"][:, :DECISIONS] / (_WEIGHT * _SCALE))


class Evaluate:
    """Real bits of whole planes of the volumes in the test part (or val, where there is no test part).

    Args:
        folder: as of `Gates`.
        planes: how many at most.
        psnr: target in dB.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, planes: int = 60, psnr: float = 35.0
    ) -> None:
        self.folder, self.planes, self.psnr = folder, planes, psnr

    def __call__(self, net: nn.Module, data: Any) -> dict[str, Any]:
        """Bits per valid gate by class, and the worst volumes."""
        part = data.part("test") if len(data.part("test")) else data.part("val")
        wanted = sorted({data.dataset.names[i][0] for i in part.indices})
        codec = ContextCodec(export(net))
        where = Path(self.folder) if self.folder else shared_radar()
        sets = [v for v in volume_sets(where) if v.key in wanted] if where else []
        if not sets:
            return {}
        by_volume: dict[str, list[float]] = {}
        by_class: dict[str, list[float]] = {}
        share = max(1, self.planes // len(sets))
        for volume, sweeps in load_all(sets):
            planes = [(s, n) for s in sweeps for n in s.variables if (s.variables[n][1] == 0).mean() > 0.005]
            for sweep, name in [planes[i] for i in _spread(len(planes), share)]:
                values, validity = sweep.variables[name]
                values = np.where(np.abs(values) < 1e6, values, np.float32(0))
                peak = peak_of(name, sweeps)
                spec = codec.plan(name, [(values, validity)], psnr=self.psnr, peak=peak, period=None)
                bits = 8.0 * len(codec.encode_values(name, values, validity, spec, None)[0])
                for table, key in ((by_volume, volume.key), (by_class, CLASSES[class_of(name)])):
                    entry = table.setdefault(key, [0.0, 0.0])
                    entry[0] += bits
                    entry[1] += float((validity == 0).sum())
        total = np.array(list(by_volume.values())).sum(0)
        worst = sorted(by_volume.items(), key=lambda kv: -kv[1][0] / kv[1][1])[:5]
        return {
            "test/real_bits_per_valid_gate": float(total[0] / total[1]),
            **{f"test/real_bits_per_valid_gate/{k}": v[0] / v[1] for k, v in sorted(by_class.items())},
            "worst": [{"volume": k, "bits_per_valid_gate": v[0] / v[1]} for k, v in worst],
        }
