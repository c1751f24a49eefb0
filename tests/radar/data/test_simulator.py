"""The simulator: seeded, plausible, honest."""

from __future__ import annotations

import time

import numpy as np
import pytest

from sciai.core.errors import BadInput
from sciai.radar.data import simulate
from sciai.radar.data.build import fields_of, sweeps_of
from sciai.radar.data.simulator import NYQUIST, VARIABLES

SHAPE = (8, 72, 120)


@pytest.fixture(scope="module")
def volume():
    return simulate(seed=5, shape=SHAPE)


def test_geometry_and_honesty(volume):
    assert volume.attrs["synthetic"] == "true"
    assert len(sweeps_of(volume)) == 8
    angles = [float(volume[s]["sweep_fixed_angle"]) for s in sweeps_of(volume)]
    assert angles == sorted(angles)
    assert (angles[0], angles[-1]) == (0.0, 90.0)
    for s in sweeps_of(volume):
        assert fields_of(volume[s]) == list(VARIABLES)
        assert volume[s]["DBZH"].shape == (72, 120)
        assert float(volume[s]["range"][-1]) == pytest.approx(59_750.0)


def test_both_kinds_of_invalid_and_values_in_range(volume):
    ranges = {
        "DBZH": (-40, 80), "ZDR": (-15, 15), "KDP": (-5, 25), "PHIDP": (-180, 180.01), "RHOHV": (0, 1.005),
        "VRADH": (-NYQUIST - 0.01, NYQUIST + 0.01), "WRADH": (0, 16),
    }  # fmt: skip
    for name, (low, high) in ranges.items():
        values = np.stack([volume[s][name].values for s in sweeps_of(volume)])
        flags = np.stack([volume[s][name + "_validity"].values for s in sweeps_of(volume)])
        share = [float((flags == k).mean()) for k in (0, 1, 2)]
        assert share[0] > 0.05
        assert share[1] > 0.05
        assert 0.001 < share[2] < 0.3
        np.testing.assert_array_equal(np.isnan(values), flags != 0)
        assert low <= np.nanmin(values) <= np.nanmax(values) <= high
        # the raw format's words
        words = (values[flags == 0].astype(np.float64) + 327.68) * 100
        assert np.abs(words - np.round(words)).max() < 0.01


def test_seed_and_subset_of_variables(volume):
    assert simulate(seed=5, shape=SHAPE).identical(volume)
    other = simulate(seed=6, shape=SHAPE, variables=["DBZH"])
    assert not np.array_equal(other["sweep_1/DBZH"], volume["sweep_1/DBZH"], equal_nan=True)


def test_a_sequence_moves_and_grows(volume):
    """The next volume resembles this one more than one ten minutes later does, and is not the same."""

    def dbz(step):
        v = simulate(seed=5, time_step=step, shape=(3, 72, 120), variables=["DBZH"])
        return np.nan_to_num(v["sweep_1/DBZH"].values, nan=-10.0), v["sweep_1/time"].values[0]

    (now, t0), (soon, t1), (late, _) = dbz(0), dbz(1), dbz(20)
    assert t1 - t0 == np.timedelta64(30, "s")
    near, far = np.abs(now - soon).mean(), np.abs(now - late).mean()
    assert 0.05 < near < 0.7 * far


def test_bright_band_lowers_rhohv(volume):
    heights, rho = [], []
    for s in sweeps_of(volume)[1:6]:
        ds = volume[s]
        h = ds["range"].values * np.sin(np.deg2rad(float(ds["sweep_fixed_angle"])))
        heights.append(np.broadcast_to(h, ds["RHOHV"].shape).ravel())
        rho.append(ds["RHOHV"].values.ravel())
    h, r = np.concatenate(heights), np.concatenate(rho)
    melting, below = r[(h > 4200) & (h < 4600)], r[(h > 2000) & (h < 3500)]
    assert np.nanmedian(melting) < np.nanmedian(below) - 0.01


@pytest.mark.parametrize("bad", [(0, 10, 10), (1, 10), (1, 10, 1)])
def test_bad_shape(bad):
    with pytest.raises(BadInput, match="shape"):
        simulate(shape=bad)


def test_unknown_variable():
    with pytest.raises(BadInput, match="XYZ"):
        simulate(shape=SHAPE, variables=["XYZ"])


@pytest.mark.slow
def test_full_size_in_time():
    begin = time.perf_counter()
    volume = simulate()
    assert time.perf_counter() - begin < 60
    assert volume["sweep_113/WRADH"].shape == (300, 800)
