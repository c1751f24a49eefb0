"""IRIS, GAMIC and Rainbow against readings that do not go through xradar."""

from __future__ import annotations

import re
import struct
import zlib

import h5py
import numpy as np
import pytest

from sciai.core.errors import BadInput
from sciai.radar.data import open_volume
from sciai.radar.data.build import fields_of, sweeps_of
from tests.radar.data import iris_by_hand


@pytest.mark.parametrize(
    ("name", "nyquist"), [("or_SUR210819000227.RAWKPJV", 7.6095), ("wl_SUR210819000847.RAWKPL0", 13.2165)]
)
def test_iris_tells_where_velocities_fold(shared_data, name, nyquist):
    """What Py-ART 2.3 gives; velocities reach to it, and not beyond."""
    sweep = open_volume(shared_data / "radar" / name)["sweep_0"]
    assert float(sweep["nyquist_velocity"]) == nyquist
    assert 0.99 * nyquist < float(np.abs(sweep["VRADH"]).max()) <= 1.01 * nyquist


@pytest.mark.parametrize(
    ("name", "nyquist"),
    [("DX50_20231127_1740__2023112717401100V.vol", 28.377), ("wl_2014-08-10--182000.ppi.mvol", 30.5235)],
)
def test_rainbow_and_gamic_tell_where_velocities_fold(shared_data, name, nyquist):
    """xradar does not; both have pulses of two rates, four to three and five to four."""
    volume = open_volume(shared_data / "radar" / name)
    for sweep in sweeps_of(volume):
        assert float(volume[sweep]["nyquist_velocity"]) == nyquist
        assert 0.9 * nyquist < float(np.abs(volume[sweep]["VRADH"]).max()) <= 1.01 * nyquist


@pytest.mark.parametrize("name", ["or_SUR210819000227.RAWKPJV", "wl_SUR210819000847.RAWKPL0"])
def test_iris_rays_lie_at_their_own_angle(shared_data, name):
    """Each ray of each moment carries its angles; xradar 0.12 is one ray off for all but the first moment."""
    path = shared_data / "radar" / name
    volume = open_volume(path)
    sweeps = iris_by_hand.read(path)
    assert len(sweeps) == len(sweeps_of(volume))
    for i, sweep in enumerate(sweeps):
        ds = volume[f"sweep_{i}"]
        ray = ds["DBZH"].dims[0]
        for number, field, scale, offset in (
            (8, "TH", 0.01, -327.68),
            (9, "DBZH", 0.01, -327.68),
            (10, "VRADH", 0.01, -327.68),
            (12, "ZDR", 0.01, -327.68),
            (20, "RHOHV", 1 / 65533, -1 / 65533),
            (24, "PHIDP", 360 / 65534, -360 / 65534),
        ):
            heads, raw = sweep[number]
            angle = iris_by_hand.middle(heads, ray)
            order = np.argsort(angle, kind="stable")
            raw = raw[order][:, : ds.sizes["range"]]
            np.testing.assert_allclose(ds[ray].values, angle[order], atol=1e-4)
            flags = np.where(raw == 0, 1, np.where(raw == 65535, 2, 0))
            np.testing.assert_array_equal(ds[field + "_validity"].values, flags, err_msg=field)
            values = raw.astype(np.float64) * scale + offset
            np.testing.assert_allclose(ds[field].values[flags == 0], values[flags == 0], rtol=1e-5, atol=1e-5)


def test_gamic(shared_data):
    path = shared_data / "radar" / "wl_2014-08-10--182000.ppi.mvol"
    ds = open_volume(path)["sweep_0"]
    assert len(fields_of(ds)) == 12
    with h5py.File(path) as h5:
        rays = h5["scan0/ray_header"][...]
        order = np.argsort(rays["azimuth_start"], kind="stable")
        for theirs, ours in (("ZH", "DBZH"), ("PHIDP", "PHIDP"), ("VH", "VRADH"), ("RHOHV", "RHOHV")):
            moment = next(
                m for m in h5["scan0"].values() if m.attrs.get("moment") in (theirs, theirs.encode())
            )
            low, high = float(moment.attrs["dyn_range_min"]), float(moment.attrs["dyn_range_max"])
            raw = moment[...][order]
            top = 254 if raw.dtype == np.uint8 else 65534
            np.testing.assert_array_equal(ds[ours + "_validity"].values == 2, raw == 0)
            # codes 1..highest span the dynamic range
            values = low + (raw.astype(np.float64) - 1) * (high - low) / top
            np.testing.assert_allclose(ds[ours].values[raw > 0], values[raw > 0], rtol=1e-4, atol=1e-3)


def rainbow_sweeps(path):
    """[(dBZ-like values, codes)] per sweep: header text, then zlib blobs with a 4-byte length in front."""
    data = path.read_bytes()
    text = data[: data.index(b"<!-- END XML -->")].decode("latin-1")
    blobs = {}
    for m in re.finditer(rb'<BLOB blobid="(\d+)" size="(\d+)" compression="qt">\s*?\n', data):
        body = data[m.end() : m.end() + int(m[2])]
        blobs[int(m[1])] = zlib.decompress(body[4:])
    out = []
    for m in re.finditer(r"<rawdata ([^>]*)>", text):
        attrs = dict(re.findall(r'(\w+)="([^"]*)"', m[1]))
        depth, rays, bins = int(attrs["depth"]), int(attrs["rays"]), int(attrs["bins"])
        dtype = {8: ">u1", 16: ">u2"}[depth]
        codes = np.frombuffer(blobs[int(attrs["blobid"])], dtype).reshape(rays, bins)
        low, high = float(attrs["min"]), float(attrs["max"])
        out.append((low + (codes.astype(np.float64) - 1) * (high - low) / (2**depth - 2), codes))
    return out


@pytest.mark.parametrize(
    ("pattern", "fields"),
    [("or_sample_rainbow*", ["DBZH"]), ("DX50_2023*", ["KDP", "PHIDP", "RHOHV", "VRADH", "ZDR", "DBZH"])],
)
def test_rainbow_one_variable_per_file(shared_data, pattern, fields):
    files = sorted((shared_data / "radar").glob(pattern))
    volume = open_volume(files)
    assert fields_of(volume["sweep_0"]) == fields
    for path, field in zip(files, fields, strict=True):
        sweeps = rainbow_sweeps(path)
        assert len(sweeps) == len(sweeps_of(volume))
        for i, (values, codes) in enumerate(sweeps):
            ours = volume[f"sweep_{i}/{field}"].values
            flags = volume[f"sweep_{i}/{field}_validity"].values
            # ours are sorted by azimuth: the same rays, so the same sets of rows
            assert ours.shape == codes.shape
            assert (flags == 2).sum() == (codes == 0).sum()
            np.testing.assert_allclose(
                np.sort(ours[flags == 0]), np.sort(values[codes > 0]), rtol=1e-4, atol=2e-3 * np.ptp(values)
            )


def test_rainbow_truncated(tmp_path, shared_data):
    data = (shared_data / "radar" / "or_sample_rainbow_5_59.vol").read_bytes()
    (tmp_path / "half.vol").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match=r"half\.vol"):
        open_volume(tmp_path / "half.vol")


def furuno(rays, gates, codes):
    """A PPI in the scnx layout (WR2120 manual 7.3); field offsets from xradar's table of the header."""
    from xradar.io.backends import furuno as layout

    head = bytearray(struct.calcsize(layout._get_fmt_string(layout.SCNX_HEADER)))
    values = {
        "size_of_header": len(head),
        "format_version": 10,
        "latitude": 3_500_000,
        "longitude": 13_500_000,
        "altitude": 12_300,
        "observation_mode": 1,
        "antenna_rotation_speed": 60,
        "number_sweep_direction_data": rays,
        "number_range_direction_data": gates,
        "resolution_range_direction": 100,
        "record_item": 0b10,
    }
    at = 0
    for name, kind in layout.SCNX_HEADER.items():
        size = struct.calcsize("<" + kind.get("fmt", kind.get("size", "")))
        if name in values:
            struct.pack_into("<" + kind["fmt"], head, at, values[name])
        elif name in ("scan_start_time", "scan_stop_time"):
            struct.pack_into("<HBBBBB", head, at, 2020, 1, 2, 3, 4, 5)
        at += size
    rows = (
        struct.pack("<HHhH", 0, 100 * (360 // rays) * r, 150, 0) + codes[r].tobytes() for r in range(rays)
    )
    return bytes(head) + b"".join(rows)


def test_furuno(tmp_path):
    codes = np.random.default_rng(0).integers(0, 65535, (12, 20)).astype("<u2")
    codes[:, ::3] = 0
    path = tmp_path / "a"
    path.write_bytes(furuno(12, 20, codes))
    volume = open_volume(path)
    ds = volume["sweep_0"]
    assert float(volume["latitude"]) == pytest.approx(35.0)
    np.testing.assert_allclose(ds["azimuth"], 30.0 * np.arange(12))
    np.testing.assert_allclose(ds["elevation"], 1.5)
    np.testing.assert_array_equal(ds["DBZH_validity"] == 2, codes == 0)
    values = codes * 0.01 - 327.68
    np.testing.assert_allclose(ds["DBZH"].values[codes > 0], values[codes > 0], rtol=1e-5)
