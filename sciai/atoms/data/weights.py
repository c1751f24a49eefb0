"""Weights of a teacher that its package leaves out, taken from the wheel of an older release on PyPI."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from sciai.core.errors import BadInput

__all__ = ["mattersim_weights"]

WHEEL = "mattersim==1.0.0rc8"
SHA256 = {
    "1M": "28b0b0b0f13efefee06b47ea4c9105a26bd3e2c8396da193430da96b3b49a8be",
    "5M": "e3df9fa708725e3d453140646c7d1838324b347a3d1214cf1440522146f872b5",
}
"""Model -> digest of its file; another file is not loaded."""


def mattersim_weights(model: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """The file with MatterSim's weights, from where the package keeps it, or from PyPI the first time.

    Args:
        model: "1M" or "5M".
        folder: where it is kept; without one, where the package itself looks.

    Returns:
        The file, checked against its known digest.

    Raises:
        BadInput: on an unknown model, no network, or a file that is not the one known here.

    >>> mattersim_weights("2M")
    Traceback (most recent call last):
    sciai.core.errors.BadInput: there is no MatterSim model '2M' ...
    """
    if model not in SHA256:
        raise BadInput(
            f"there is no MatterSim model {model!r}", field="model", fix=f"choose from {', '.join(SHA256)}"
        )
    place = Path(folder) if folder is not None else Path.home() / ".local" / "mattersim" / "pretrained_models"
    path = place / f"mattersim-v1.0.0-{model}.pth"
    if not path.exists():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place) as work:
            _from_wheel(path, Path(work))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256[model]:
        raise BadInput(
            f"{path} is not the file known here: its sha256 is {digest[:12]}…, not {SHA256[model][:12]}…",
            fix="delete it, and it is taken from PyPI again",
        )
    return path


def _from_wheel(path: Path, work: Path) -> None:
    # built for Python 3.9; only its weights are used, so that the interpreter here does not matter
    asked = "--no-deps --only-binary=:all: --python-version 3.9 --abi cp39 --platform manylinux2014_x86_64"
    command = [sys.executable, "-m", "pip", "download", "-q", *asked.split(), WHEEL, "-d", str(work)]
    done = subprocess.run(command, capture_output=True, text=True)  # nosec: fixed words
    wheels = list(work.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["pip gave no wheel"])[-1]
        raise BadInput(f"could not get {WHEEL} from PyPI: {last}", fix=f"put {path.name} into {path.parent}")
    inside = f"mattersim/pretrained_models/{path.name}"
    with zipfile.ZipFile(wheels[0]) as wheel:
        extracted = Path(wheel.extract(inside, work))
    os.replace(extracted, path)
