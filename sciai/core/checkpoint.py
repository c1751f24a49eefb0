"""A trained model on disk: weights, card, manifest. Verified before anything in it is parsed; never pickle.

A checkpoint is a folder with exactly three files::

    model.safetensors   the arrays
    card.yaml           what it is, what it learned from, how well, and where it fails
    MANIFEST.json       format version, and size and sha256 of the other two

A file that is not listed is refused and never opened, so a pickle smuggled into the folder cannot run.
The hash of a checkpoint is the sha256 of its manifest, which pins the other two files; answers carry it.
Loading reads arrays with ``safetensors.numpy``: it needs no torch.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import yaml

from sciai.core.answer import Provenance, jsonable
from sciai.core.errors import CheckpointError

if TYPE_CHECKING:
    import torch

__all__ = ["FORMAT_VERSION", "Card", "Checkpoint", "Stage"]

FORMAT_VERSION = 2
MODEL, CARD, MANIFEST = "model.safetensors", "card.yaml", "MANIFEST.json"
_FORMAT = "sciai-checkpoint"
_MAX_TEXT = 16 * 2**20  # a card or manifest beyond this is an attack or a mistake, not documentation

Stage = Literal["pilot", "limited", "production"]


@dataclass(frozen=True)
class Card:
    """What a reader has to know before trusting the model.

    Attributes:
        name: name of the model.
        domain: the domain it serves.
        summary: one paragraph: what it does, can and cannot do.
        stage: release stage.
        config: the resolved training config.
        data: provenance of the training data (files, hashes, licences, periods).
        split: which groups went where, and the hash of the split (``Split.record()``).
        seeds: every seed that was used.
        metrics: figures on held-out data, by part.
        calibration: what the spread was calibrated with and on.
        known_limits: sentences; where it fails or was not tried.
        worst: the worst cases that evaluation found, worst first.
        software: versions it was trained with.
        extra: what only this domain needs (layout of its arrays ...).
    """

    name: str
    domain: str
    summary: str = ""
    stage: Stage = "pilot"
    config: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    seeds: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    known_limits: tuple[str, ...] = ()
    worst: tuple[Mapping[str, Any], ...] = ()
    software: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.stage not in get_args(Stage):
            raise CheckpointError(f"stage {self.stage!r} of {self.name!r} is none of {get_args(Stage)}")
        object.__setattr__(self, "known_limits", tuple(self.known_limits))
        object.__setattr__(self, "worst", tuple(self.worst))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Card:
        """A card from the content of ``card.yaml``.

        Args:
            content: field -> value.

        Raises:
            CheckpointError: on a missing name or domain, or a field this version does not know.
        """
        known = {f.name for f in fields(cls)}
        unknown, missing = sorted(set(content) - known, key=str), sorted({"name", "domain"} - set(content))
        wrong = [f"it lacks {', '.join(missing)}"] if missing else []
        wrong += [f"this version knows no field {', '.join(map(str, unknown))}"] if unknown else []
        kinds = {str: ("name", "domain", "summary"), list: ("known_limits", "worst")}
        of = {name: kind for kind, names in kinds.items() for name in names}
        for name in known & set(content) - {"stage"}:
            kind: type[Any] = of.get(name, dict)
            if not isinstance(content[name], (list, tuple) if kind is list else kind):
                wrong.append(f"{name} is no {kind.__name__}")
        if wrong:
            raise CheckpointError(f"{CARD} is no card: {'; '.join(sorted(wrong))}")
        return cls(**content)


@dataclass(frozen=True)
class Checkpoint:
    """Arrays and card, in memory.

    Attributes:
        arrays: name -> array, as stored.
        card: the model card.
        hash: sha256 of the manifest (64 hex digits); empty until saved or loaded.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = Checkpoint({"w": np.ones(3, "f4")}, Card("tiny", "none")).save(f"{folder}/tiny")
    ...     loaded = Checkpoint.load(f"{folder}/tiny", expect=saved.hash)
    >>> loaded.card.name, loaded.arrays["w"].tolist()
    ('tiny', [1.0, 1.0, 1.0])
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    card: Card
    hash: str = ""

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, expect: str | None = None) -> Checkpoint:
        """Verify the folder, then read it.

        Args:
            path: the folder.
            expect: the hash it must have, where the caller knows it (a store that names its model).

        Raises:
            CheckpointError: when a file is missing, altered, or extra; when the version is unknown; when
                the hash is not the expected one.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        folder = Path(path)
        version, content, digest = _verified(folder)
        if expect is not None and digest != expect:
            raise CheckpointError(f"{folder} has hash {digest[:16]}..., but {expect[:16]}... is needed")
        try:
            card = yaml.safe_load(content[CARD])
            arrays = load(content[MODEL])
        except (yaml.YAMLError, SafetensorError, ValueError, KeyError, RecursionError) as error:
            raise CheckpointError(f"{folder} cannot be parsed: {error}") from error
        if not isinstance(card, dict):
            raise CheckpointError(f"{folder / CARD} is not a mapping")
        for step in range(version, FORMAT_VERSION):
            card, arrays = _UPGRADES[step](card, arrays)
        return cls(arrays, Card.from_dict(card), digest)

    @staticmethod
    def verify(path: str | os.PathLike[str]) -> str:
        """Check every file against the manifest without parsing the weights.

        Args:
            path: the folder.

        Returns:
            The checkpoint's hash.

        Raises:
            CheckpointError: as ``load``.
        """
        return _verified(Path(path))[2]

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Checkpoint:
        """Write the folder: all of it, or nothing.

        Args:
            path: the folder to make.
            overwrite: replace one that exists.

        Returns:
            This checkpoint with its hash.

        Raises:
            CheckpointError: when the folder exists and ``overwrite`` is false, or overwriting would
                delete a folder that is not a checkpoint.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import save

        folder = Path(path)
        if folder.exists() or folder.is_symlink():
            if not overwrite:
                raise CheckpointError(f"{folder} exists; choose another name, or pass overwrite=True")
            if folder.is_symlink() or not (folder / MANIFEST).is_file():
                raise CheckpointError(f"{folder} is not a checkpoint folder; it will not be overwritten")
        # safetensors writes the memory as it lies, so a transposed view has to be made contiguous first
        plain = {name: np.asarray(array, order="C") for name, array in sorted(self.arrays.items())}
        card = yaml.safe_dump(jsonable(asdict(self.card), 10**9), sort_keys=False, allow_unicode=True)
        try:
            content = {MODEL: save(plain), CARD: card.encode()}
        except SafetensorError as error:  # texts, objects, dates
            raise CheckpointError(f"{folder}: an array cannot be stored: {error}") from error
        listed = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in content.items()
        }
        manifest = {"format": _FORMAT, "version": FORMAT_VERSION, "files": listed}
        content[MANIFEST] = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
        _write_folder(folder, content)
        return replace(self, hash=hashlib.sha256(content[MANIFEST]).hexdigest())

    @classmethod
    def from_net(cls, net: torch.nn.Module, card: Card) -> Checkpoint:
        """The weights and buffers of a torch network, as they are now; bfloat16 as single."""
        arrays = {
            name: (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor)
            .detach()
            .cpu()
            .numpy()
            .copy()
            for name, tensor in net.state_dict().items()
        }
        return cls(arrays, card)

    def load_into(self, net: torch.nn.Module) -> None:
        """Put the arrays into a torch network of the same shape.

        Args:
            net: the network; it gets copies.

        Raises:
            CheckpointError: when names or shapes differ; it lists them.
        """
        import torch

        # copies: arrays may be read-only views of the file's bytes
        state = {name: torch.from_numpy(np.array(array)) for name, array in self.arrays.items()}
        try:
            net.load_state_dict(state, strict=True)
        except RuntimeError as error:
            raise CheckpointError(
                f"checkpoint {self.card.name!r} does not fit the network: {error}"
            ) from error

    def provenance(self, seed: int | None = None) -> Provenance:
        """The provenance of an answer that this checkpoint gives."""
        calibration = self.card.calibration.get("data", "")
        return Provenance(self.card.name, self.hash, seed=seed, calibration=str(calibration))


_Verified = tuple[int, dict[str, bytes], str]


def _verified(folder: Path) -> _Verified:
    """Version, file contents and hash; once more where somebody saved another one meanwhile."""
    for _ in range(20):
        before = _inode(folder)
        try:
            return _verified_once(folder)
        except (CheckpointError, FileNotFoundError):
            if _inode(folder) == before and not (before is None and _set_aside(folder)):
                raise
        time.sleep(0.02)
    return _verified_once(folder)


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def _set_aside(folder: Path) -> list[Path]:
    """Where a save keeps the earlier checkpoint for the moment between two renames."""
    return sorted(folder.parent.glob(f".{glob.escape(folder.name)}.old.*/")) if folder.name else []


def _verified_once(folder: Path) -> _Verified:
    """Each file is read once: what was hashed is what gets parsed."""
    if not folder.is_dir():
        old = _set_aside(folder)
        more = f" (saving was interrupted, and the earlier one is {old[-1]}: move it back)" if old else ""
        raise CheckpointError(f"no checkpoint at {folder}: the folder does not exist{more}")
    present = {entry.name for entry in folder.iterdir()}
    if missing := {MODEL, CARD, MANIFEST} - present:
        raise CheckpointError(f"{folder} is not a complete checkpoint: it lacks {', '.join(sorted(missing))}")
    if extra := present - {MODEL, CARD, MANIFEST}:
        raise CheckpointError(
            f"{folder} holds files that do not belong to a checkpoint: {', '.join(sorted(extra))}; "
            "remove them (none of them was opened)"
        )
    for name in present:
        if (folder / name).is_symlink() or not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is not an ordinary file")
    text = _read(folder / MANIFEST, _MAX_TEXT)
    try:
        manifest = json.loads(text)
        if manifest["format"] != _FORMAT:
            raise ValueError(f"format {manifest['format']!r}")
        version, listed = int(manifest["version"]), dict(manifest["files"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{folder / MANIFEST} is not a checkpoint manifest: {error}") from error
    if not 1 <= version <= FORMAT_VERSION:
        raise CheckpointError(
            f"{folder} has format version {version}; this sciai reads 1 to {FORMAT_VERSION}: update sciai"
        )
    if set(listed) != {MODEL, CARD}:
        raise CheckpointError(f"{folder / MANIFEST} lists {sorted(listed)}, not {sorted({MODEL, CARD})}")
    content: dict[str, bytes] = {}
    for name, entry in listed.items():
        # version 1 listed the bare sha256, without the size
        wanted = entry if isinstance(entry, str) else entry.get("sha256") if isinstance(entry, dict) else None
        size = (folder / name).stat().st_size
        if isinstance(entry, dict) and size != entry.get("bytes"):
            raise CheckpointError(f"{folder / name} has {size} bytes, the manifest says {entry.get('bytes')}")
        content[name] = _read(folder / name, _MAX_TEXT if name == CARD else None)
        if hashlib.sha256(content[name]).hexdigest() != wanted:
            raise CheckpointError(f"{folder / name} was altered: its sha256 is not the one in the manifest")
    return version, content, hashlib.sha256(text).hexdigest()


def _read(file: Path, limit: int | None) -> bytes:
    if limit is not None and file.stat().st_size > limit:
        raise CheckpointError(f"{file} has {file.stat().st_size} bytes; more than {limit} is refused")
    return file.read_bytes()


def _write_folder(folder: Path, content: Mapping[str, bytes]) -> None:
    """All files or none: write beside, flush to disk, rename into place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, data in content.items():
            with open(fresh / name, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        fresh.chmod(0o755)  # mkdtemp makes it private; a shared checkpoint has to be readable
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
            os.replace(folder, old)
            try:
                os.replace(fresh, folder)
            except BaseException:
                os.replace(old, folder)
                raise
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    with contextlib.suppress(OSError):  # not every file system lets a folder be synced
        handle = os.open(folder.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_Content = tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]


def _from_1(card: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> _Content:
    """Version 1 called the known limits ``limits`` and knew no release stage: such a model is a pilot."""
    card = dict(card)
    card["known_limits"] = card.pop("limits", [])
    card.setdefault("stage", "pilot")
    return card, arrays


_UPGRADES: dict[int, Callable[[dict[str, Any], dict[str, npt.NDArray[Any]]], _Content]] = {1: _from_1}
