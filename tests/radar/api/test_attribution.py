"""Shares of tiles add up, find the error, and change when the model has learned nothing."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.radar import simulate
from sciai.radar.api.attribution import attribution_figure, check_sanity, explain
from sciai.radar.model.registry import shipped_codec
from tests.radar.synthetic import volume

STORM = simulate(seed=5, shape=(2, 90, 150))


def test_bits_add_up_and_errors_are_those_of_the_plane() -> None:
    answer = explain(STORM, psnr=38)
    value = answer.unwrap()
    assert value.variable == "DBZH"
    assert value.bits.sum() == value.total
    assert value.valid.sum() == np.isfinite(STORM["sweep_0/DBZH"]).sum()
    assert (value.rms_error[value.valid > 0] <= value.max_error[value.valid > 0]).all()
    mse = np.nansum(value.rms_error**2 * value.valid) / value.valid.sum()
    assert 10 * np.log10(70.0**2 / mse) > 37.5
    assert answer.estimate is not None
    assert answer.estimate.unit == "dBZ"
    assert len(attribution_figure(value).axes) == 8


def test_what_is_not_there() -> None:
    with pytest.raises(BadInput, match="no NOTHING"):
        explain(STORM, "NOTHING")
    with pytest.raises(BadInput, match="not in sweep 9"):
        explain(STORM, "DBZH", 9)


def test_the_shipped_codec_leans_on_what_it_learned() -> None:
    found = check_sanity(STORM)
    assert [f.level for f in found] == [Level.OK], found[0].message
    same = check_sanity(STORM, other=shipped_codec("context"))  # type: ignore[arg-type]
    assert [f.level for f in same] == [Level.CAUTION], "the trained one beside itself must fail"


def test_a_circular_field() -> None:
    value = explain(volume(36, ((36, 50),), ("DBZH", "VRADH")), "VRADH").unwrap()
    assert np.nanmax(value.max_error) < 30
