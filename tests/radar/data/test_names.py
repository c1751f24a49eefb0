"""Field names, peaks, periods."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.radar.data.names import (
    PSNR_PEAK,
    circular_period,
    family,
    field_attributes,
    fm301_names,
    psnr_peak,
)


@pytest.mark.parametrize(
    ("name", "peak"),
    [("DBZH", 70), ("ZDR", 12), ("RHOHV", 1), ("PHIDP", 180), ("KDP", 20), ("VRADH", 60), ("WRADH", 16)],
)
def test_peaks_are_those_of_the_project(name, peak):
    assert psnr_peak(name) == peak


def test_unknown_name_has_its_robust_range_as_peak():
    values = np.r_[np.linspace(-5.0, 5.0, 10_001), 1e9, np.nan].astype(np.float32)
    assert psnr_peak("WHAT", values) == pytest.approx(10.0, rel=0.01)
    assert psnr_peak("WHAT", np.full(5, np.nan)) == 1.0
    assert psnr_peak("WHAT", np.full(5, 3.0)) == 1.0


def test_iris_letters_only_where_they_stand_together():
    assert fm301_names(["T", "Z", "V", "W"]) == {"T": "TH", "Z": "DBZH", "V": "VRADH", "W": "WRADH"}
    assert fm301_names(["T", "P"]) == {"T": "T", "P": "P"}


def test_a_standard_name_wins_over_its_alias_in_any_order():
    assert fm301_names(["VRAD", "VRADH"]) == {"VRAD": "VRAD", "VRADH": "VRADH"}
    assert fm301_names(["VEL", "VRAD"]) == {"VEL": "VRADH", "VRAD": "VRAD"}


def test_renaming_is_one_to_one():
    names = ["reflectivity", "REF", "DBZ", "velocity", "uncorrected_differential_phase", "PHIDP", "nonsense"]
    assert len(set(fm301_names(names).values())) == len(names)


def test_periods():
    assert circular_period("PHIDP") == 360.0
    assert circular_period("PHIDP", values=np.array([0.0, 500.0])) is None
    assert circular_period("VRADH") is None
    assert circular_period("VRADH", nyquist=10.0, values=np.array([-9.0, np.nan, 10.0])) == 20.0
    assert circular_period("VRADH", nyquist=10.0, values=np.array([25.0])) is None
    assert circular_period("VRADDH", nyquist=10.0) is None
    assert circular_period("DBZH", nyquist=10.0) is None


def test_every_peak_is_positive_and_families_are_known():
    assert min(PSNR_PEAK.values()) > 0
    assert {family(n) for n in PSNR_PEAK} <= set(PSNR_PEAK)
    assert field_attributes("VRADH")["units"] == "meters per second"
