"""The ternary validity."""

from __future__ import annotations

import numpy as np

from sciai.radar.data.build import from_codes
from sciai.radar.data.validity import MISSING, attributes, from_values, is_companion, validity_of


def test_attributes_are_cf_flags():
    attrs = attributes("why")
    assert attrs["flag_values"].dtype == np.uint8
    assert len(attrs["flag_meanings"].split()) == attrs["flag_values"].size == 3
    assert attrs["comment"] == "why"


def test_values_without_companion():
    assert from_values(np.array([0.0, np.nan, np.inf, -np.inf])).tolist() == [0, 2, 2, 2]
    assert from_values(np.array([1, 2])).tolist() == [0, 0]


def test_companion_is_believed_but_a_valid_nan_is_missing():
    sweep = {"A": np.array([1.0, np.nan, np.nan, 4.0]), "A_validity": np.array([0, 0, 1, 2])}
    assert validity_of(sweep, "A").tolist() == [0, 2, 1, 2]
    # as xarray hands it over after a round trip through a float, or with a flag nobody defined
    sweep = {"A": np.ones(3), "A_validity": np.array([0.0, np.nan, 7.0])}
    assert validity_of(sweep, "A").tolist() == [0, 2, 2]


def test_companion_names():
    assert is_companion("DBZH_validity", {"DBZH"})
    assert not is_companion("X_validity", {"DBZH"})


def test_codes_of_every_kind():
    f = from_codes(np.array([0, 1, 7], np.uint8), scale=2.0, offset=1.0, below_noise=0, missing=1)
    assert f.validity.tolist() == [1, 2, 0]
    assert f.values[2] == 15.0
    assert f.comment is None
    # one code for both: not told apart, and said so
    f = from_codes(np.array([0, 1], np.uint8), scale=1.0, offset=0.0, below_noise=0, missing=0)
    assert f.validity.tolist() == [MISSING, 0]
    assert "does not tell" in f.comment
    # float codes with NaN and -inf as flags
    f = from_codes(
        np.array([np.nan, -np.inf, 3.0], np.float32),
        scale=1.0,
        offset=0.0,
        below_noise=-np.inf,
        missing=np.nan,
    )
    assert f.validity.tolist() == [2, 1, 0]
    # flags that the codes cannot hold flag nothing
    f = from_codes(np.array([0, 255], np.uint8), scale=1.0, offset=0.0, below_noise=-1.0, missing=65535.0)
    assert f.validity.tolist() == [0, 0]
