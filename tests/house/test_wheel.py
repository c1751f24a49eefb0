"""A wheel works outside the checkout: configs, checkpoints and codec come with it."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; its dependencies are borrowed from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("sciai-*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--no-deps",
            "--no-index",
            str(wheel),
        ],
        check=True,
        capture_output=True,
    )
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    # a plain path line: the borrowed folder's own .pth files, such as the editable checkout's, stay unread
    borrowed = "\n".join(site.getsitepackages())
    (folder / "env" / "lib" / version / "site-packages" / "borrowed.pth").write_text(borrowed + "\n")
    return folder / "env" / "bin"


def _run(command: list[str], cwd: Path) -> str:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_resources_come_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = (
        "import json, sciai\n"
        "from sciai.core.resources import checkpoints_dir, conf_dir, data_dir\n"
        "names = lambda at: sorted(str(p.relative_to(at)) for p in at.rglob('*') if p.is_file())\n"
        "folders = {'conf': conf_dir(), 'checkpoints': checkpoints_dir(), 'data': data_dir()}\n"
        "print(json.dumps({'home': sciai.__file__, **{key: names(path) for key, path in folders.items()}}))"
    )
    found = json.loads(_run([str(installed / "python"), "-c", code], tmp_path))
    assert str(ROOT) not in found["home"]
    for name in ("conf", "checkpoints", "data"):
        tracked = subprocess.run(
            ["git", "ls-files", name], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
        assert {line.removeprefix(f"{name}/") for line in tracked} <= set(found[name])


def test_configs_compose_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "from sciai.core.run import compose; print(compose('tutorial').domain.name)"
    assert _run([str(installed / "python"), "-c", code], tmp_path).strip() == "tutorial"


def test_main_job_works_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    sciai = str(installed / "sciai")
    assert _run([sciai, "--version"], tmp_path).startswith("sciai ")
    _run([sciai, "radar", "simulate", "storm.nc", "--shape", "3x90x200", "--seed", "1"], tmp_path)
    figures = json.loads(_run([sciai, "radar", "compress", "storm.nc", "storm.zarr", "--json"], tmp_path))
    assert figures["level"] in ("ok", "caution")
    verdict = json.loads(_run([sciai, "radar", "verify", "storm.nc", "storm.zarr", "--json"], tmp_path))
    assert verdict["level"] in ("ok", "caution")
    code = (
        "import xarray as xr, numpy as np\n"
        "tree = xr.open_datatree('storm.zarr', engine='zarr')\n"
        "print(int(np.isfinite(tree['sweep_0/DBZH'].values).sum()))"
    )
    assert int(_run([str(installed / "python"), "-c", code], tmp_path)) > 0
