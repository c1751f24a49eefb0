"""Set-up: no CUDA and no torchvision arrive, compressai does all the same, and all is registered."""

from __future__ import annotations

import importlib.metadata as metadata
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sciai_install", ROOT / "tools" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_torchvision_is_installed() -> None:
    assert importlib.util.find_spec("torchvision") is None


@pytest.mark.skipif("SCIAI_TORCH_INDEX" in os.environ, reason="the torch build was chosen by hand")
def test_no_cuda_is_installed() -> None:
    import torch

    names = sorted((dist.metadata["Name"] or "").lower() for dist in metadata.distributions())
    # chgnet (a teacher, an extra) brings the Python face of nvidia-smi, which is no CUDA
    cuda = [name for name in names if name.startswith("nvidia-") or name == "triton"]
    assert set(cuda) <= {"nvidia-ml-py3", "nvidia-ml-py"}
    assert torch.version.cuda is None


def test_compressai_is_installed_beside_a_numpy_that_its_metadata_forbids() -> None:
    assert metadata.version("compressai") == "1.2.8"
    assert int(metadata.version("numpy").split(".")[0]) >= 2
    wanted = metadata.requires("sciai") or []
    assert not [line for line in wanted if line.lower().startswith(("compressai", "torchvision"))]


def test_zarr_codec_and_command_are_registered() -> None:
    codecs = {point.name: point.value for point in metadata.entry_points(group="zarr.codecs")}
    assert codecs["sciai.radar"] == "sciai.radar.api.zarr_codec:RadarCodec"
    scripts = {point.name: point.value for point in metadata.entry_points(group="console_scripts")}
    assert scripts["sciai"] == "sciai.cli:main"


@pytest.mark.parametrize(
    ("would_install", "options"),
    [
        (["torch", "sympy"], []),
        (["torch", "nvidia-cublas-cu12", "triton"], ["--index-url", "https://download.pytorch.org/whl/cpu"]),
        (["torch", "cuda-bindings"], ["--index-url", "https://download.pytorch.org/whl/cpu"]),
    ],
)
def test_torch_comes_from_the_cpu_index_where_the_default_one_would_bring_cuda(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, would_install: list[str], options: list[str]
) -> None:
    def pip_says(command: list[str], **_: object) -> SimpleNamespace:
        assert "--dry-run" in command
        report = {"install": [{"metadata": {"name": name}} for name in would_install]}
        Path(command[command.index("--report") + 1]).write_text(json.dumps(report))
        return SimpleNamespace(returncode=0)

    monkeypatch.delenv("SCIAI_TORCH_INDEX", raising=False)
    monkeypatch.setattr(install.subprocess, "run", pip_says)
    assert install.torch_index() == options


def test_torch_index_can_be_chosen_by_hand(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIAI_TORCH_INDEX", "https://example.org/simple")
    assert install.torch_index() == ["--index-url", "https://example.org/simple"]


def test_install_script_reads_the_torch_bound_of_pyproject(install: ModuleType) -> None:
    assert install.requirement("torch").startswith("torch>=")
    assert "<" in install.requirement("torch")  # without an upper bound newer CUDA builds arrive


def test_a_failing_pip_stops_the_installation_with_its_exit_code_in_words(install: ModuleType) -> None:
    with pytest.raises(SystemExit, match="pip failed"):
        install.pip("--no-index", "--no-deps", "a-package-that-is-nowhere==0.0.0")


def test_make_help_lists_every_target() -> None:
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("help", "setup", "check", "test", "demo", "bench", "train"):
        assert f"make {target}" in text


def test_make_demo_hands_over_a_file_name_with_spaces() -> None:
    command = ["make", "-n", "demo", "VOLUME=my radar.h5", f"VENV={Path(sys.prefix)}"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert '--volume "my radar.h5"' in text


def test_ci_ends_with_the_test_suite() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = [line for line in script.read_text().splitlines() if line.startswith("make ")]
    assert lines == ["make check", "make test"]
