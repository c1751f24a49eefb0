"""What an import may load: measured in a fresh process."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "pytorch_lightning",
    "hydra",
    "xarray",
    "zarr",
    "ase",
    "torch_geometric",
    "compressai",
    "scipy",
}


@pytest.mark.parametrize(
    "code",
    [
        "import sciai.core",
        "from sciai.core import Answer, ask, Checkpoint, Level, BadInput",
        "import sciai.core.run, sciai.core.split, sciai.core.resources",
        "import sciai.trust.conformal, sciai.trust.ensemble, sciai.trust.support",
        "import sciai.trust.score, sciai.trust.recalibrate, sciai.trust.limits",
    ],
)
def test_light(code: str) -> None:
    probe = f"{code}; import sys; print(*sorted(set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY == set()


def test_every_public_name_of_core_resolves() -> None:
    import sciai.core

    for name in sciai.core.__all__:
        assert getattr(sciai.core, name).__name__ in (name, "Mapping")
    assert set(sciai.core.__all__) == set(sciai.core._WHERE)
    with pytest.raises(AttributeError):
        sciai.core.nothing  # type: ignore[attr-defined]
