"""A table of many rows: memory does not grow with it beyond the answers, and progress is shown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

# peak memory of a process that predicts, in MiB; a process of its own, since a peak never falls
PEAK = """
import json, resource, sys
import torch
torch.set_num_threads(1)
import pandas as pd
from sciai.health import VirtualHuman
told = VirtualHuman.load().predict(pd.read_parquet(sys.argv[1]), "dx_diabetes", progress=True)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
print(json.dumps([peak, len(told), float(told["p"].min()), float(told["p"].max())]))
"""


def _table(n: int, path: Path) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.integers(20, 81, n),
            "sex": np.where(rng.random(n) < 0.5, "F", "M"),
            "hba1c": rng.normal(5.6, 0.6, n).clip(4, 14).round(1),
            "weight_kg": rng.normal(78, 15, n).clip(35, 200).round(1),
        }
    )
    frame.loc[rng.random(n) < 0.3, "hba1c"] = np.nan
    frame.to_parquet(path)
    return path


def _peak(path: Path) -> tuple[list[float], str]:
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout), done.stderr


def test_memory_is_bounded_and_progress_is_shown(tmp_path: Path) -> None:
    few, _ = _peak(_table(5_000, tmp_path / "few.parquet"))
    many, shown = _peak(_table(60_000, tmp_path / "many.parquet"))
    assert many[1] == 60_000
    assert 0 <= many[2] < many[3] <= 1
    # 60,000 rows in and three numbers out for each are 4 MiB
    assert many[0] - few[0] < 60
    assert "predict dx_diabetes" in shown
