"""Nothing heavy is loaded before it is needed."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "pytorch_lightning",
    "torch_geometric",
    "ase",
    "xarray",
    "zarr",
    "compressai",
    "matplotlib",
    "hydra",
)


def _loaded(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import sciai", "import sciai.radar", "import sciai.cli"])
def test_import_loads_nothing_heavy(statement: str) -> None:
    assert _loaded(statement) & set(HEAVY) == set()


def test_all_that_the_radar_offers_is_there_when_asked_for() -> None:
    import sciai.radar

    assert {"compress", "decompress", "fetch", "info", "open_volume", "simulate", "verify"} == set(
        sciai.radar.__all__
    )
    for name in sciai.radar.__all__:
        assert getattr(sciai.radar, name).__name__ == name
    assert set(sciai.radar.__all__) <= set(dir(sciai.radar))


def test_core_loads_neither_torch_nor_lightning() -> None:
    assert (
        _loaded("import sciai.core.answer, sciai.core.checkpoint") & {"torch", "pytorch_lightning"} == set()
    )


@pytest.mark.parametrize("words", [["--help"], ["radar", "--help"], ["radar", "compress", "--help"]])
def test_help_answers_within_a_second(words: list[str]) -> None:
    code = "import sys; from sciai.cli import main; sys.exit(main(sys.argv[1:]))"
    seconds = []
    for _ in range(
        3
    ):  # of the processor, the best of three: other work on the machine is not the program's fault
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        assert done.returncode == 0, done.stderr
        assert "Usage" in done.stdout
    assert min(seconds) < 1.0
