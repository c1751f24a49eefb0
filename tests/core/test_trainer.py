"""Which trainer a config makes."""

from __future__ import annotations

import pytest
import torch

from sciai.core.trainer import pick_precision


@pytest.mark.parametrize("has_bf16", [True, False])
def test_precision_follows_the_device(monkeypatch: pytest.MonkeyPatch, has_bf16: bool) -> None:
    assert pick_precision("auto", "cpu") == "32-true"
    assert pick_precision("16-mixed", "cpu") == "16-mixed"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
    assert pick_precision("auto", "gpu") == ("bf16-mixed" if has_bf16 else "32-true")
    assert pick_precision("auto", "cpu") == "32-true"
