"""Install sciai and everything it needs into the Python that runs this file: no CUDA, no torchvision.

    python tools/install.py            # what the demo needs
    python tools/install.py test       # with an extra of pyproject.toml (test, bench, dev)

Why not just `pip install -e .[dev]`? Two traps:

* torch. On Linux pip's default index may offer the CUDA build (gigabytes). So pip is asked first what it
  *would* install; where that brings CUDA, PyTorch's own CPU index is used instead. Set SCIAI_TORCH_INDEX to
  choose the index yourself, for instance a CUDA one for a machine with a GPU.
* compressai 1.2.8 works with numpy 2 and without torchvision, but its metadata forbids the one and demands
  the other; followed literally, pip replaces torch by a CUDA build. It is installed with --no-deps: what it
  really imports is among sciai's own dependencies, and sciai/radar/model/compressai_shim.py stands in for
  torchvision.

Only the standard library is used, and it may be run again at any time.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
COMPRESSAI = "compressai==1.2.8"


def pip(*args: str) -> None:
    """Run pip of this interpreter; stop the program with pip's exit code when it fails."""
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *args]
    print("+ pip", *command[3:], flush=True)
    done = subprocess.run(command)
    if done.returncode:
        sys.exit(f"tools/install.py: pip failed (exit {done.returncode}) on: {' '.join(args)}")


def installed(name: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirement(name: str) -> str:
    """sciai's own requirement line for a package, so that a version bound stands in one place only."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return next(line for line in project["dependencies"] if line.split(">")[0].split("=")[0].strip() == name)


def torch_index() -> list[str]:
    """pip options that lead to a torch without CUDA."""
    chosen = os.environ.get("SCIAI_TORCH_INDEX")
    if chosen:
        return ["--index-url", chosen]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        dry = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--dry-run", "--quiet"]
        done = subprocess.run([*dry, "--report", str(report), requirement("torch")])
        if done.returncode or not report.is_file():
            return []  # the real install below fails with pip's own words
        wanted = [item["metadata"]["name"].lower() for item in json.loads(report.read_text())["install"]]
    if any(name.startswith(("nvidia-", "cuda-")) or name == "triton" for name in wanted):
        print("pip's default torch would bring CUDA; taking the CPU build instead", flush=True)
        return ["--index-url", CPU_INDEX]
    return []


def main(extras: list[str]) -> None:
    """Install in an order in which no step can undo an earlier one."""
    if installed("torch") is None:
        pip(*torch_index(), requirement("torch"))
    target = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        # torch as it is now, and no torchvision at all: a dependency that wants otherwise fails here, loudly.
        pins = Path(folder) / "constraints.txt"
        pins.write_text(f"torch=={installed('torch')}\ntorchvision<0\n")
        pip("--constraint", str(pins), "--editable", target)
    pip("--no-deps", COMPRESSAI)
    if installed("torchvision"):
        print(
            "warning: torchvision is installed here although sciai does not need it; where it does not match "
            "torch it breaks the import of Lightning and compressai. Remove it: pip uninstall torchvision",
            file=sys.stderr,
        )
    print(f"sciai {installed('sciai')} is installed with torch {installed('torch')}")


if __name__ == "__main__":
    main(sys.argv[1:])
