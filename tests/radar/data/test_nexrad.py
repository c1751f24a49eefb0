"""NEXRAD Level II: every code of small hand-made volumes, and real ones against other readings."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from sciai.core.errors import BadInput
from sciai.radar.data import open_volume
from sciai.radar.data.build import fields_of, sweeps_of
from tests.radar.data import level2_by_hand as by_hand


def expected(codes, scale, offset):
    values = (codes.astype(np.float64) - offset) / scale
    validity = np.where(codes == 0, 1, np.where(codes == 1, 2, 0))
    return np.where(validity == 0, values, np.nan), validity


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_code_of_a_message_31_volume(tmp_path, compressed, zipped):
    head, parts, azimuths, codes, packing = by_hand.small_volume(compressed=compressed)
    data = head + b"".join(parts)
    file = tmp_path / "no-telling-name"
    file.write_bytes(gzip.compress(data) if zipped else data)
    volume = open_volume(file)
    assert sweeps_of(volume) == ["sweep_0", "sweep_1"]
    assert fields_of(volume["sweep_0"]) == ["DBZH", "PHIDP"]
    assert fields_of(volume["sweep_1"]) == ["DBZH", "VRADH"]
    order = np.argsort(azimuths, kind="stable")
    names = {"REF": "DBZH", "PHI": "PHIDP", "VEL": "VRADH"}
    for i, moments in enumerate(codes):
        ds = volume[f"sweep_{i}"]
        np.testing.assert_allclose(ds["azimuth"], azimuths[order])
        for key, raw in moments.items():
            values, validity = expected(raw[order], *packing[key])
            gates = raw.shape[1]
            np.testing.assert_allclose(ds[names[key]][:, :gates], values, rtol=1e-6)
            np.testing.assert_array_equal(ds[names[key] + "_validity"][:, :gates], validity)
            assert (ds[names[key] + "_validity"].values[:, gates:] == 2).all()
            encoding = ds[names[key]].encoding
            assert encoding["dtype"] == raw.dtype
            assert encoding["scale_factor"] == pytest.approx(1 / packing[key][0])
    assert volume["sweep_1/VRADH"].shape == (12, 40)
    assert volume["sweep_0"]["range"].values[:2].tolist() == [2125.0, 2375.0]
    assert float(volume["latitude"]) == 35.25
    assert float(volume["altitude"]) == 390.0
    assert volume.attrs["scan_name"] == "VCP-12"
    assert float(volume["sweep_0/nyquist_velocity"]) == 8.0


def test_message_1_puts_both_resolutions_on_one_axis(tmp_path):
    rng = np.random.default_rng(1)
    ref = rng.integers(0, 200, (6, 20)).astype(np.uint8)
    vel = rng.integers(0, 255, (6, 60)).astype(np.uint8)
    messages = [
        by_hand.radial1(60.0 * r, 0.5, 1, 3 if r == 0 else 1, ref[r], vel[r], vel[r]) for r in range(6)
    ]
    file = tmp_path / "KLIX19990101_000000"
    file.write_bytes(by_hand.header(b"\0\0\0\0", b"ARCHIVE2.001") + b"".join(messages))
    volume = open_volume(file)
    ds = volume["sweep_0"]
    values, validity = expected(ref, 2.0, 66.0)
    np.testing.assert_array_equal(ds["DBZH"], np.repeat(values, 4, axis=1))
    np.testing.assert_array_equal(ds["DBZH_validity"], np.repeat(validity, 4, axis=1))
    assert ds["DBZH"].attrs["gate_repeat"] == 4
    values, validity = expected(vel, 2.0, 129.0)
    np.testing.assert_array_equal(ds["VRADH"][:, :60], values)
    assert (ds["VRADH_validity"][:, 60:] == 2).all()
    # a gate of 1 km centred at 0 holds the four of 250 m centred at -375, -125, 125, 375
    assert ds["range"].values[:3].tolist() == [-375.0, -125.0, 125.0]
    # the tape does not name the station: the file does, and the table places it
    assert volume.attrs["instrument_name"] == "KLIX"
    assert float(volume["latitude"]) == pytest.approx(30.33667)


def test_real_time_chunks_make_one_volume(tmp_path):
    head, parts, *_ = by_hand.small_volume()
    files = []
    for i, part in enumerate([head + parts[0], *parts[1:]]):
        files.append(tmp_path / f"chunk-{i:03}")
        files[-1].write_bytes(part)
    whole = tmp_path / "whole"
    whole.write_bytes(head + b"".join(parts))
    assert open_volume(files).identical(open_volume(whole))
    with pytest.raises(BadInput, match="not the first"):
        open_volume(files[::-1])


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("keep", [0.3, 0.75, 0.99])
def test_truncated(tmp_path, compressed, keep):
    head, parts, *_ = by_hand.small_volume(compressed=compressed)
    data = head + b"".join(parts)
    file = tmp_path / "volume"
    file.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(BadInput, match=r"truncated.*volume"):
        open_volume(file)


def test_a_flipped_byte_in_a_bz2_record_is_noticed(tmp_path):
    head, parts, *_ = by_hand.small_volume()
    data = bytearray(head + b"".join(parts))
    data[len(data) // 2] ^= 0xFF
    file = tmp_path / "volume"
    file.write_bytes(data)
    with pytest.raises(BadInput, match="damaged"):
        open_volume(file)


def test_header_without_radials(tmp_path):
    file = tmp_path / "volume"
    file.write_bytes(by_hand.header() + by_hand.message(2, bytes(100)))
    with pytest.raises(BadInput, match="no radial"):
        open_volume(file)


def test_real_message_1_against_its_bytes(shared_data):
    """The May 1999 outbreak: every frame of the tape unpacked here, field by field."""
    path = shared_data / "radar" / "KTLX19990503_235621.gz"
    data = gzip.decompress(path.read_bytes())
    rays: dict[int, list] = {}
    for at in range(24 + 12, len(data), 2432):
        if data[at + 3] != 1:
            continue
        b = data[at + 16 : at + 2420]
        azimuth = struct.unpack_from(">H", b, 8)[0] * 180 / 32768
        cut = struct.unpack_from(">H", b, 16)[0]
        n_z, n_v = struct.unpack_from(">HH", b, 26)
        p_z, p_v = struct.unpack_from(">HH", b, 36)
        rays.setdefault(cut, []).append(
            (
                azimuth,
                np.frombuffer(b, np.uint8, n_z if p_z else 0, p_z),
                np.frombuffer(b, np.uint8, n_v if p_v else 0, p_v),
            )
        )
    volume = open_volume(path)
    assert len(sweeps_of(volume)) == len(rays) == 16
    for i, cut in enumerate(sorted(rays)):
        order = np.argsort([r[0] for r in rays[cut]], kind="stable")
        for name, column, scale, offset in (("DBZH", 1, 2.0, 66.0), ("VRADH", 2, 2.0, 129.0)):
            rows = [rays[cut][k][column] for k in order]
            if not rows[0].size:
                assert name not in volume[f"sweep_{i}"]
                continue
            values, validity = expected(np.array(rows), scale, offset)
            ours = volume[f"sweep_{i}"][name]
            repeat = ours.attrs.get("gate_repeat", 1)
            n = repeat * values.shape[1]
            np.testing.assert_array_equal(ours.values[:, :n], np.repeat(values, repeat, axis=1))
            flags = volume[f"sweep_{i}"][name + "_validity"].values
            np.testing.assert_array_equal(flags[:, :n], np.repeat(validity, repeat, axis=1))
            assert (flags[:, n:] == 2).all()
    assert float(volume["latitude"]) == pytest.approx(35.333, abs=1e-3)


@pytest.mark.parametrize("name", ["KJGX20240131_235419_V06", "TATL20240421_001129_V08"])
def test_real_message_31_against_recast(shared_data, name):
    recast = pytest.importorskip("recast_radar")
    path = shared_data / "radar" / name
    ours, theirs = open_volume(path), recast.open_datatree(str(path))
    assert len(sweeps_of(ours)) == sum(k.startswith("sweep") for k in theirs.children)
    for s in sweeps_of(ours):
        a, b = ours[s].to_dataset(), theirs[s].to_dataset()
        order = np.argsort(b["azimuth"].values, kind="stable")
        for f in fields_of(a):
            if f == "CCORH":  # its low codes are flags, which the other reader gives out as values
                continue
            other = b[f].values[order]
            np.testing.assert_allclose(a[f].values, other, rtol=1e-5, atol=1e-5, err_msg=f"{s} {f}")
