"""Trees as other readers leave them: packed, with fill values, with undetect among the values."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar import compress, decompress
from sciai.radar.data import open_volume, write_cfradial2
from sciai.radar.data.build import fields_of, sweeps_of

SHAPE = (24, 30)


@pytest.fixture
def codes():
    codes = np.random.default_rng(1).integers(60, 120, SHAPE).astype(np.uint8)
    codes[0, :5], codes[1, :7] = 255, 0
    return codes


def sweep(values, attrs=None, **more):
    data = {"DBZH": (("azimuth", "range"), values, {"units": "dBZ", **(attrs or {})})}
    coords = {"azimuth": np.arange(SHAPE[0]) * 15.0, "range": np.arange(SHAPE[1]) * 250.0 + 125}
    return xr.Dataset(data | more, coords)


PACKED = {"scale_factor": 0.5, "add_offset": -32.0, "_FillValue": np.uint8(255)}


def test_a_packed_field_is_unpacked(codes, tmp_path):
    plain = open_volume(sweep(codes, PACKED))["sweep_0"].to_dataset()
    np.testing.assert_array_equal(plain["DBZH_validity"].values[0, :6], [2, 2, 2, 2, 2, 0])
    np.testing.assert_array_equal(plain["DBZH"].values[2:], codes[2:] * np.float32(0.5) - 32)
    assert plain["DBZH"].encoding["scale_factor"] == 0.5
    # as a tree with all names in order it is no tidy one either, and its store opens in every way
    tree = xr.DataTree.from_dict({"/sweep_0": sweep(codes.astype(np.float32), PACKED)})
    value = compress(tree, tmp_path / "a.zarr", codec="plain", lossless=True).unwrap()
    assert value.variables["DBZH"].valid_fraction == 1 - 5 / codes.size
    lazy = xr.open_datatree(tmp_path / "a.zarr", engine="zarr").load()
    xr.testing.assert_identical(lazy, decompress(tmp_path / "a.zarr"))
    np.testing.assert_array_equal(lazy["sweep_0/DBZH"], plain["DBZH"])


@pytest.mark.parametrize("name", ["_FillValue", "missing_value"])
def test_a_fill_value_is_missing(codes, name):
    values = np.where(codes == 255, np.float32(-9999), codes.astype(np.float32))
    plain = open_volume(sweep(values, {name: np.float32(-9999)}))["sweep_0"].to_dataset()
    np.testing.assert_array_equal(plain["DBZH_validity"].values == 2, codes == 255)


@pytest.mark.parametrize("how", ["undecoded", "decoded", "float"])
def test_undetect_is_below_noise(codes, how):
    packed = sweep(codes, PACKED | {"_Undetect": 0.0})
    if how == "decoded":
        packed = xr.decode_cf(packed)
    elif how == "float":
        values = np.where(codes == 255, np.float32(np.nan), codes.astype(np.float32))
        values[codes == 0] = -9998
        packed = sweep(values, {"_Undetect": -9998.0})
    tree = xr.DataTree.from_dict({"/sweep_0": packed})
    plain = open_volume(tree)["sweep_0"].to_dataset()
    np.testing.assert_array_equal(plain["DBZH_validity"].values == 1, codes == 0)
    np.testing.assert_array_equal(plain["DBZH_validity"].values == 2, codes == 255)
    np.testing.assert_array_equal(np.isnan(plain["DBZH"].values), plain["DBZH_validity"].values != 0)
    assert "_Undetect" not in plain["DBZH"].attrs
    assert "comment" not in plain["DBZH_validity"].attrs


def test_an_undetect_that_is_missing_too_tells_nothing_apart(codes):
    same = sweep(codes, {"scale_factor": 0.5, "_FillValue": np.uint8(0), "_Undetect": 0.0})
    plain = open_volume(same)["sweep_0"].to_dataset()
    np.testing.assert_array_equal(plain["DBZH_validity"].values == 2, codes == 0)
    assert "does not tell" in plain["DBZH_validity"].attrs["comment"]


def test_variables_beside_fields_are_decoded_too_and_none_is_left_out(codes, tmp_path):
    beside = sweep(codes.astype(np.float32), prt=("azimuth", np.full(24, -1, np.int16), {"_FillValue": -1}))
    beside["nyquist_velocity"] = xr.Variable((), np.array(None, dtype=object))
    compress(xr.DataTree.from_dict({"/sweep_0": beside}), tmp_path / "a.zarr", codec="plain")
    back = decompress(tmp_path / "a.zarr")["sweep_0"].to_dataset()
    assert np.isnan(back["prt"].values).all()
    assert "nyquist_velocity" not in back


def test_what_xradar_reads_is_what_we_read(shared_data):
    import xradar

    path = shared_data / "radar/DeBilt_nldbl_20151010.h5"
    theirs, ours = open_volume(xradar.io.open_odim_datatree(path)), open_volume(path)
    assert sweeps_of(theirs) == sweeps_of(ours)
    for name in sweeps_of(ours):
        a, b = theirs[name].to_dataset(), ours[name].to_dataset()
        for field in fields_of(b):
            np.testing.assert_array_equal(a[f"{field}_validity"], b[f"{field}_validity"])
            np.testing.assert_array_equal(a[field], b[field])
    assert 1 in theirs["sweep_0/DBZH_validity"].values


def test_values_that_cannot_be_read_are_named(tmp_path):
    """A tree of xradar whose file turns out to be damaged once its values are needed."""
    delayed, array = pytest.importorskip("dask.delayed"), pytest.importorskip("dask.array")

    def broken():
        raise EOFError("record 24 ends early")

    lazy = array.from_delayed(delayed.delayed(broken)(), SHAPE, np.float32)
    for values in (lazy, lazy.T):
        given = sweep(np.zeros(SHAPE, np.float32)).assign(
            DBZH=(("azimuth", "range") if values is lazy else ("range", "azimuth"), values)
        )
        tree = xr.DataTree.from_dict({"/sweep_0": given})
        with pytest.raises(ValueError, match=r"cannot be read \(EOFError: record 24 ends early\).*DBZH"):
            compress(tree, tmp_path / "a.zarr", codec="plain")
    assert not list(tmp_path.iterdir())


def one(values, attrs=None):
    """A tree of one ray."""
    values = np.asarray([values], values.dtype if isinstance(values, np.ndarray) else np.float32)
    return xr.DataTree.from_dict(
        {"/sweep_0": xr.Dataset({"DBZH": (("azimuth", "range"), values, attrs or {})})}
    )


@pytest.mark.parametrize(
    "encoding",
    [
        {"scale_factor": np.array([0.5]), "add_offset": np.array([1.0]), "dtype": "int16"},
        {"scale_factor": np.array([0.5, 2.0])},
        {"scale_factor": "abc", "dtype": "weird"},
        {"scale_factor": 0.5, "add_offset": None},
    ],
)
def test_an_encoding_of_any_kind_is_no_reason_to_fail(tmp_path, encoding):
    tree = one([1.0, 2.0, 3.5], {"_Undetect": None})
    tree["sweep_0/DBZH"].encoding = encoding
    assert compress(tree, tmp_path / "a.zarr", codec="plain", lossless=True).unwrap().gates == 3
    write_cfradial2(decompress(tmp_path / "a.zarr"), tmp_path / "a.nc")


@pytest.mark.parametrize("attrs", [{"scale_factor": "0.5"}, {"scale_factor": np.array([0.5, 0.6])}])
def test_a_packing_that_is_none_is_named(attrs):
    with pytest.raises(BadInput, match=r"scale_factor .* is no number .*DBZH"):
        open_volume(one(np.uint8([1, 2]), attrs))


def test_names_are_text(tmp_path):
    tree = one([1.0, 2.0])
    for name in (5, ("a", "b")):
        named = xr.DataTree.from_dict({"/sweep_0": tree["sweep_0"].to_dataset().assign({name: 3.0})})
        with pytest.raises(BadInput, match="whose name is no text"):
            compress(named, tmp_path / "a.zarr")


@pytest.mark.parametrize("units", ["seconds since yesterday", "fortnights since 2020-01-01"])
def test_times_since_no_date_do_not_make_a_store_that_does_not_open(tmp_path, units):
    tree = one([1.0, 2.0])
    for name, variable in (("time", ("azimuth", [0.5])), ("XYZ", (("azimuth", "range"), [[1.0, 2.0]]))):
        ds = tree["sweep_0"].to_dataset().assign({name: variable})
        ds[name].attrs["units"] = units
        with pytest.raises(BadInput, match=f"cannot be read as dates .*{units}"):
            compress(xr.DataTree.from_dict({"/sweep_0": ds}), tmp_path / "a.zarr", codec="plain")
    dates = tree["sweep_0"].to_dataset().assign(time=("azimuth", np.array(["2020-01-01"], "M8[ns]")))
    dates["time"].encoding = {"units": units}
    compress(xr.DataTree.from_dict({"/sweep_0": dates}), tmp_path / "a.zarr", codec="plain").unwrap()
    assert decompress(tmp_path / "a.zarr")["sweep_0/time"].values[0] == np.datetime64("2020-01-01")


@pytest.mark.parametrize(
    ("name", "attrs"),
    [
        ("DBZH", {"dtype": "bool"}),
        ("DBZH", {"_Encoding": "utf-8"}),
        ("DBZH", {"coordinates": 5}),
        ("prt", {"dtype": "bool"}),
        ("time", {"units": "seconds"}),
        ("time", {"calendar": "noleap"}),
    ],
)
def test_attributes_that_mean_something_to_xarray_are_named(tmp_path, name, attrs):
    """Of `dtype` a store said OK whose values were all true; of others, one that did not open."""
    ds = one([1.0, 2.0])["sweep_0"].to_dataset()
    ds = ds.assign(prt=("azimuth", [0.5]), time=("azimuth", np.array(["2020-01-01"], "M8[ns]")))
    ds[name].attrs.update(attrs)
    with pytest.raises(BadInput, match=f"attribute {next(iter(attrs))} .*{name}"):
        compress(xr.DataTree.from_dict({"/sweep_0": ds}), tmp_path / "a.zarr", codec="plain")


def test_attributes_that_are_arrays_of_no_dimension(tmp_path):
    compress(one([1.0, 2.0], {"gain": np.array(3)}), tmp_path / "a.zarr", codec="plain").unwrap()
    assert decompress(tmp_path / "a.zarr")["sweep_0/DBZH"].attrs["gain"] == 3
