"""Fixtures and settings for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# the same examples on every machine and in every run; no deadline, because a shared machine is sometimes slow
settings.register_profile(
    "sciai",
    deadline=None,
    derandomize=True,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
settings.load_profile("sciai")

# its assertions are worth explaining too: pytest by itself only looks into test_*.py
pytest.register_assert_rewrite("tests.domain_suite")

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data for development: ``$SCIAI_SHARED/data`` or ``../shared/data``; skips where there is none."""
    folder = Path(os.environ.get("SCIAI_SHARED", _ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder} (set SCIAI_SHARED)")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: small networks are faster so, and several test runs may share a machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
