"""The peers of the benchmarks are real codecs, given their best chance, and measured honestly."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("imagecodecs", reason="the benchmarks' codecs are in the extra `bench`")

from benchmarks import radar_peers
from benchmarks.radar_volumes import Sweep, next_volume_pairs, volume_sets


def plane(seed: int, rays: int = 60, gates: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(rays, gates)).cumsum(1) * 2 + 20).astype(np.float32)
    validity = np.where(values > 18, 0, np.where(rng.random((rays, 1)) < 0.1, 2, 1)).astype(np.uint8)
    return np.where(validity == 0, values, np.nan).astype(np.float32), validity


def sweeps() -> list[Sweep]:
    return [Sweep(f"sweep_{i}", float(i), {"DBZH": plane(i), "ZDR": plane(i + 5)}) for i in range(2)]


def test_the_step_gives_its_psnr_for_uniform_errors() -> None:
    step = radar_peers.step_for(70.0, 35.0)
    values = np.random.default_rng(0).uniform(-500, 500, (100, 1000))
    error = values - np.rint(values / step) * step
    assert 10 * np.log10(70.0**2 / np.mean(error**2)) == pytest.approx(35.0, abs=0.1)


def test_jpeg_xl_gives_the_indices_back_in_8_and_16_bits() -> None:
    for span in (3, 200, 4000):
        image = np.random.default_rng(span).integers(-span // 2, span // 2, (40, 50)).astype(np.int32)
        np.testing.assert_array_equal(
            radar_peers.unjxl(radar_peers.jxl(image)).astype(int) + image.min(), image
        )


def test_filling_keeps_valid_gates_and_repeats_the_last_one() -> None:
    indices = np.array([[9, 1, 9, 2, 9], [9, 9, 9, 9, 9], [3, 9, 9, 9, 4]], np.int32)
    validity = np.array([[1, 0, 2, 0, 1], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0]], np.uint8)
    filled = radar_peers.fill_along_ray(indices, validity)
    np.testing.assert_array_equal(filled, [[1, 1, 1, 2, 2], [1, 1, 1, 2, 2], [3, 3, 3, 3, 4]])
    everything = radar_peers.fill_along_ray(indices, np.ones_like(validity))
    assert everything.shape == indices.shape


def test_the_mask_can_be_read_from_inband_indices() -> None:
    values, validity = plane(3)
    indices = radar_peers.quantise(values, validity, 2.0)
    image = radar_peers.inband(indices, validity)
    valid = validity == 0
    np.testing.assert_array_equal(image[valid], indices[valid])
    np.testing.assert_array_equal(image < indices[valid].min(), validity == 1)
    np.testing.assert_array_equal(image > indices[valid].max(), validity == 2)


def test_a_volume_costs_no_more_than_any_of_the_ways_tried() -> None:
    found = radar_peers.code_volume(sweeps(), effort=4)
    assert found["total"] <= found["separate"] + 1e-12
    assert found["total"] <= found["sweepwise"] + 1e-12
    assert found["total"] == pytest.approx(found["values"] + found["mask"])
    assert found["gates"] == 4 * 60 * 80
    for name in ("DBZH", "ZDR"):
        variable = found["variables"][name]
        assert variable["psnr"] == pytest.approx(35.0, abs=0.5)
        assert 0 < variable["valid"] < 1
    assert radar_peers.code_volume(sweeps(), psnr=45.0, effort=4)["total"] > found["total"]


def test_the_checksum_sees_values_and_masks_but_not_what_hides_under_the_mask() -> None:
    first, second, third = sweeps(), sweeps(), sweeps()
    values, validity = second[0].variables["DBZH"]
    values[validity != 0] = -1.0
    assert radar_peers.checksum(first) == radar_peers.checksum(second)
    third[1].variables["ZDR"][1][0, 0] ^= 1
    assert radar_peers.checksum(first) != radar_peers.checksum(third)


def test_files_become_volumes(tmp_path: Path) -> None:
    names = [
        "Goa_20210516_0241__GOA210516024101-IMD-B.nc.gz",
        "Goa_20210516_0241__GOA210516024101-IMD-B.nc.1.gz",
        "KLOT20210625_075154_trim.ar2v",
        "dn_KTLX20190525_222419.bin",
        "wl_20200207130000.rad.behel.pvol.dbzh.scanz.hdf",
        "wl_20200207130000.rad.behel.pvol.vrad.scanz.hdf",
        "wl_20200207130500.rad.behel.pvol.dbzh.scanz.hdf",
        "Aleria_frale_20151010.h5",
        "Opoul_fropo_20151010.h5",
        "whatever.nc",
        "README.md",
    ]
    for name in names:
        (tmp_path / name).touch()
    found = {v.key: v for v in volume_sets(tmp_path)}
    assert len(found["Goa_20210516_0241"].paths) == 2
    assert len(found["behel_20200207130000"].paths) == 2
    assert found["KTLX20190525_222419"].radar == "KTLX"
    assert found["Aleria_frale_20151010"].radar != found["Opoul_fropo_20151010"].radar
    assert found["Aleria_frale_20151010"].group == found["Opoul_fropo_20151010"].group == "night-20151010"
    assert found["whatever.nc"].radar == "whatever.nc"
    assert sum(len(v.paths) for v in found.values()) == len(names) - 1
    pairs = next_volume_pairs(list(found.values()))
    assert [(a.key, b.key) for a, b in pairs] == [("behel_20200207130000", "behel_20200207130500")]


def test_every_shared_file_is_in_exactly_one_volume(shared_data: Path) -> None:
    folder = shared_data / "radar"
    paths = [p for v in volume_sets(folder) for p in v.paths]
    assert len(paths) == len(set(paths)) == len([p for p in folder.iterdir() if p.name != "README.md"])


@pytest.mark.parametrize("psnr", [30.0, 42.0])
def test_every_classical_codec_reaches_the_psnr(psnr: float) -> None:
    pytest.importorskip("hdf5plugin")
    from benchmarks.radar_classical import codecs, measure, reach

    planes = [plane(1), plane(2)]
    found, missing = codecs()
    assert {"quantise + JPEG XL e9", "SZ3", "ZFP", "SPERR", "HTJ2K", "JPEG 2000"} <= {c.name for c in found}
    assert set(missing) <= {"x265"}
    for codec in found:
        if codec.name == "x265":
            continue  # seconds per try; the benchmark runs it
        best = reach(codec, planes, 70.0, psnr, tries=7)
        assert best is not None, codec.name
        assert psnr <= best["psnr"], codec.name
        # what is reported is what decoding gives, and a finer knob costs more
        fine, coarse = (codec.code(planes, 70.0, knob) for knob in (0.002, 0.05))
        assert measure(planes, fine.decoded, 70.0)[0] > measure(planes, coarse.decoded, 70.0)[0], codec.name
        assert fine.bytes > coarse.bytes, codec.name


def test_the_report_page_names_command_commit_and_machine(tmp_path: Path, monkeypatch: Any) -> None:
    from benchmarks import run

    monkeypatch.setattr(run, "OUT", tmp_path)
    monkeypatch.setattr(run, "SCRIPTS", {"run": "that the page can list the benchmarks"})
    monkeypatch.setattr(sys, "argv", ["run", "run", "--", "--list"])
    with pytest.raises(SystemExit) as ended:
        run.main()
    page = (tmp_path / "report.md").read_text()
    assert ended.value.code == 0
    for part in ("commit: ", "cores", "benchmarks.run --list", "exit 0", "seed: ", "radar_peers"):
        assert part in page


def test_a_result_of_other_data_is_not_used(tmp_path: Path, monkeypatch: Any) -> None:
    from benchmarks import radar_compare

    cache = tmp_path / "peers.json"
    cache.write_text(json.dumps({"v": {"data": radar_peers.checksum(sweeps()), "total": 1.0}}))
    volume: Any = type("V", (), {"key": "v"})()
    monkeypatch.setattr(radar_compare, "load", lambda _: sweeps())
    assert radar_compare.peer_of(volume, cache) == {"data": radar_peers.checksum(sweeps()), "total": 1.0}
    monkeypatch.setattr(radar_compare, "load", lambda _: sweeps()[:1])
    assert radar_compare.peer_of(volume, cache) is None
