"""Categories are told from quantities: by what the file says, by name, by their values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from sciai.radar import open_volume
from sciai.radar.data.categories import MOST, why_category

WHOLE = np.arange(5, dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "attrs", "values"),
    [
        ("ECHO", {"flag_values": np.int8([0, 1]), "flag_meanings": "rain hail"}, None),
        ("ECHO", {"flag_masks": [1, 2, 4]}, None),
        ("ECHO", {"is_discrete": "true", "units": "dBZ"}, None),
        ("DBZH", {"is_discrete": True}, None),
        *(
            (name, {}, None)
            for name in ("QCFLAGS", "CLASS", "DB_HCLASS2", "HCLASS", "PID", "rain_flag", "BRDR")
        ),
        *((name, {}, None) for name in ("hydrometeor_classification", "clutter_mask", "HCA")),
        ("XYZ", {}, WHOLE),
        ("XYZ", {"units": "unitless"}, np.float32([2.5, 4.5, 250.5, np.nan])),
    ],
)
def test_categories(name: str, attrs: dict[str, Any], values: Any) -> None:
    assert why_category(name, attrs, values)


@pytest.mark.parametrize(
    ("name", "attrs", "values"),
    [
        ("DBZH", {"flag_values": [-32.0], "flag_meanings": "below_noise"}, WHOLE),
        ("RHOHV", {}, WHOLE),
        ("CLASSIC", {}, None),
        ("SQIDS", {}, None),
        ("XYZ", {"units": "dB"}, WHOLE),
        ("XYZ", {}, np.float32([0.0, 0.5, 1.0])),
        ("XYZ", {}, np.arange(MOST + 1, dtype=np.float32)),
        ("XYZ", {}, np.full(9, 3.0, np.float32)),
        ("XYZ", {}, np.full(9, np.nan, np.float32)),
        ("XYZ", {}, None),
        ("XYZ", {"is_discrete": "false"}, None),
    ],
)
def test_quantities(name: str, attrs: dict[str, Any], values: Any) -> None:
    assert not why_category(name, attrs, values)


def test_meanings_survive_reading(tmp_path: Path) -> None:
    classes = np.int8([[0, 1, 2, -1], [2, 2, 0, 1]])
    attrs = {"flag_values": np.int8([0, 1, 2]), "flag_meanings": "none rain hail", "_FillValue": np.int8(-1)}
    sweep = xr.Dataset(
        {
            "ECHO": (("time", "range"), classes, attrs),
            "DBZH": (("time", "range"), np.ones((2, 4), np.float32), {"units": "dBZ"}),
            "sweep_mode": ((), "azimuth_surveillance"),
            "sweep_fixed_angle": ((), 0.5),
            "sweep_number": ((), 0),
        },
        coords={
            "time": ("time", np.array(["2024-01-01T00:00:00", "2024-01-01T00:00:01"], "M8[ns]")),
            "azimuth": ("time", np.float32([10, 20])),
            "elevation": ("time", np.float32([0.5, 0.5])),
            "range": ("range", np.float32([100, 200, 300, 400])),
        },
    )
    root = xr.Dataset({"volume_number": 0}, attrs={"Conventions": "Cf/Radial-2.0", "version": "2.0"})
    xr.DataTree.from_dict({"/": root, "/sweep_0": sweep}).to_netcdf(tmp_path / "a.nc")
    found = open_volume(tmp_path / "a.nc")["sweep_0/ECHO"]
    assert why_category("ECHO", found.attrs).startswith("its attributes name the values")
    assert list(found.attrs["flag_values"]) == [0, 1, 2]
    assert found.attrs["flag_meanings"] == "none rain hail"
