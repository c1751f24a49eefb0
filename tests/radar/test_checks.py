"""Findings on questionable volumes: each says what and where, and policy decides what it means."""

from __future__ import annotations

import re
from inspect import getsource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml

from sciai.core.answer import Answer, Finding, Level, Refused
from sciai.core.errors import BadInput
from sciai.core.resources import conf_dir
from sciai.radar import checks, compress
from sciai.radar.api import Compressed, reading
from sciai.radar.api.source import open_source
from sciai.radar.data.validity import NOT_TOLD_APART
from tests.radar.synthetic import one_field, smooth, volume


def findings(answer: Answer[Compressed], check: str) -> list[Finding]:
    return [f for f in answer.findings if f.check == check]


def recoordinated(tree: xr.DataTree, name: str, **coords: Any) -> xr.DataTree:
    nodes = {n.path: n.to_dataset(inherit=False) for n in tree.subtree}
    nodes[f"/{name}"] = nodes[f"/{name}"].assign_coords(coords)
    return xr.DataTree.from_dict(nodes)


def run(tree: xr.DataTree, folder: Path, **how: Any) -> Answer[Compressed]:
    return compress(tree, folder / "a.zarr", codec="plain", **how)


def test_a_good_volume_is_ok(tmp_path: Path) -> None:
    answer = run(volume(60, ((60, 80),) * 3), tmp_path, max_error={"DBZH": 3})
    assert answer.level == Level.OK
    assert answer.provenance.model == "radar plain"
    assert answer.provenance.version


def test_negative_and_unsorted_ranges(tmp_path: Path) -> None:
    tree = volume(61)
    tree = recoordinated(tree, "sweep_1", range=tree["sweep_1"].range - 200)
    tree = recoordinated(tree, "sweep_2", range=tree["sweep_2"].range.values[::-1])
    answer = run(tree, tmp_path)
    found = findings(answer, "geometry")
    assert [(f.where, f.level) for f in found] == [("sweep_1", Level.CAUTION), ("sweep_2", Level.CAUTION)]
    assert "-125" in found[0].message
    assert "ascend" in found[1].message
    back = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")
    np.testing.assert_array_equal(back["sweep_1"].range, tree["sweep_1"].range)


@pytest.mark.parametrize(("name", "fill"), [("azimuth", -9999.0), ("elevation", np.nan)])
def test_angles_that_are_none(tmp_path: Path, name: str, fill: float) -> None:
    tree = volume(61)
    angles = np.asarray(tree["sweep_1"][name].values, np.float64).copy()
    angles[4:7] = fill
    tree = recoordinated(tree, "sweep_1", **{name: ("azimuth", angles)})
    (found,) = findings(run(tree, tmp_path), "geometry")
    assert found.where == "sweep_1"
    assert found.message.startswith(f"{name} of 3 rays is no angle")
    back = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")
    np.testing.assert_array_equal(back["sweep_1"][name], angles)


def test_coordinates_of_every_gate_that_outweigh_the_echo(tmp_path: Path) -> None:
    tree = volume(61, ((60, 80),))
    where = np.random.default_rng(0).normal(size=(60, 80))
    given = dict.fromkeys(("x", "y"), (("azimuth", "range"), where))
    (found,) = findings(run(recoordinated(tree, "sweep_0", **given), tmp_path), "overhead")
    assert "; x, y, stored bit for bit for every gate, can be left out" in found.message


def test_unknown_name(tmp_path: Path) -> None:
    answer = run(volume(62, variables=("SIGMA", "DBZH")), tmp_path)
    (found,) = findings(answer, "unknown_name")
    assert found.where == "SIGMA"
    report = answer.unwrap().variables["SIGMA"]
    assert report.psnr_peak == pytest.approx(10, rel=0.9)
    assert report.psnr >= 35


def test_noise_dominates(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise, calm = rng.normal(size=(2, 60, 80)).astype(np.float32)
    calm = smooth(rng, 60, 80, 0.01).astype(np.float32)
    tree = xr.DataTree.from_dict(
        {"/sweep_0": xr.Dataset({n: (("azimuth", "range"), v) for n, v in (("DBZH", noise), ("ZDR", calm))})}
    )
    answer = run(tree, tmp_path)
    assert [f.where for f in findings(answer, "noise")] == ["DBZH"]
    assert answer.unwrap().variables["DBZH"].roughness == pytest.approx(1, abs=0.1)


def test_empty_and_constant_fields(tmp_path: Path) -> None:
    nothing = np.full((20, 30), np.nan, np.float32)
    both = {"DBZH": nothing, "ZDR": np.full((20, 30), 1.5, np.float32)}
    sweep = xr.Dataset({n: (("azimuth", "range"), v) for n, v in both.items()})
    tree = xr.DataTree.from_dict({"/sweep_0": sweep})
    answer = run(tree, tmp_path)
    assert [f.where for f in findings(answer, "all_missing")] == ["DBZH"]
    assert [f.where for f in findings(answer, "constant")] == ["ZDR"]
    assert answer.unwrap().variables["DBZH"].bits_per_value < 1


def test_infinities_and_double(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(20, 30))
    values[3, :4] = [np.inf, -np.inf, 1e300, np.nan]
    answer = run(one_field(values), tmp_path)
    assert findings(answer, "infinite")[0].message.startswith("2 infinite")
    assert [f.where for f in findings(answer, "double")] == ["DBZH"]
    back = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")["sweep_0/DBZH_validity"]
    assert back.values[3, :5].tolist() == [2, 2, 2, 2, 0]


@pytest.mark.parametrize(
    ("comment", "vague"),
    [
        (NOT_TOLD_APART, True),
        (f"{NOT_TOLD_APART}; code 1 is range folded", True),
        ("raw code 0 is below_noise; code 1 (range folded) and gates not measured are missing", False),
        (None, False),
    ],
    ids=["vague", "vague and more", "NEXRAD", "nothing said"],
)
def test_told_apart_where_the_source_does_not(tmp_path: Path, comment: str | None, vague: bool) -> None:
    tree = volume(69, variables=("DBZH", "ZDR"))
    for name in tree.children:
        if comment is not None:
            tree[f"{name}/DBZH_validity"].attrs["comment"] = comment
    found = findings(run(tree, tmp_path), "told_apart")
    assert [f.where for f in found] == (["DBZH"] if vague else [])
    # one sweep that tells them apart is enough
    tree["sweep_1/DBZH_validity"].attrs["comment"] = "code 0 is below_noise"
    assert not findings(run(tree, tmp_path, overwrite=True), "told_apart")


def test_a_tree_without_companions_does_not_tell_apart(tmp_path: Path) -> None:
    (found,) = findings(run(one_field(np.float32([[1, np.nan], [2, 3]])), tmp_path), "told_apart")
    assert (found.where, found.level) == ("DBZH", Level.OK)


def test_repairs_are_said(tmp_path: Path) -> None:
    answer = run(volume(63), tmp_path, max_error=1e-9)
    assert {f.where for f in findings(answer, "lossless_fallback")} == {"DBZH", "VRADH", "ZDR"}
    assert all(r.lossless for r in answer.unwrap().variables.values())


def test_policy_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = {**checks.policy(), "unknown_name": Level.REFUSE}
    monkeypatch.setattr(checks, "policy", lambda: strict)
    answer = run(volume(64, variables=("SIGMA",)), tmp_path)
    assert answer.level == Level.REFUSE
    assert not list(tmp_path.iterdir())
    with pytest.raises(Refused, match="SIGMA"):
        answer.unwrap()


def test_a_refusal_after_measuring_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = {**checks.policy(), "overhead": Level.REFUSE}
    monkeypatch.setattr(checks, "policy", lambda: strict)
    answer = run(volume(65, ((4, 5),)), tmp_path)
    assert answer.level == Level.REFUSE
    assert not list(tmp_path.iterdir())


def test_every_check_has_a_level_in_the_config() -> None:
    text = getsource(checks) + getsource(reading)
    named = set(re.findall(r'(?:_caution|Finding)\(\s*"(\w+)"', text)) | {"missing_part", "damaged"}
    config = yaml.safe_load((conf_dir() / "guard/radar.yaml").read_text(encoding="utf-8"))
    assert named == checks.CHECKS == set(config["policy"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("policy: {told_appart: refuse}", "no check is called 'told_appart'.*did you mean told_apart"),
        ("policy: {zzz: ok}", "no check is called 'zzz'.*there are .*geometry"),
        ("policy: {noise: perhaps}", "unknown level 'perhaps'"),
    ],
)
def test_a_policy_that_names_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, says: str
) -> None:
    (tmp_path / "guard").mkdir()
    shared = (conf_dir() / "guard/default.yaml").read_text(encoding="utf-8")
    (tmp_path / "guard/default.yaml").write_text(shared, encoding="utf-8")
    (tmp_path / "guard/radar.yaml").write_text(wrong, encoding="utf-8")
    monkeypatch.setattr("sciai.trust.policy.conf_dir", lambda: tmp_path)
    with pytest.raises(BadInput, match=says):
        checks.policy.__wrapped__()
    (tmp_path / "guard/radar.yaml").write_text("policy: {leakage: caution}", encoding="utf-8")
    assert checks.policy.__wrapped__()["leakage"] == Level.CAUTION  # a check that every domain has


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (xr.Dataset(), "no sweep|no data"),
        (xr.Dataset({"x": ("range", [1.0, 2.0])}), "no sweep|no data"),
        (xr.Dataset({"DBZH": (("azimuth", "range"), np.zeros((0, 5), np.float32))}), "0 rays"),
        (
            xr.Dataset(
                {
                    "DBZH": (("azimuth", "range"), np.zeros((4, 5), np.float32)),
                    "ZDR": (("elevation", "range"), np.zeros((3, 5), np.float32)),
                }
            ),
            "different shapes",
        ),
    ],
)
def test_volumes_that_cannot_be_coded(tmp_path: Path, dataset: xr.Dataset, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        compress(xr.DataTree.from_dict({"/sweep_0": dataset}), tmp_path / "a.zarr", codec="plain")
    assert not list(tmp_path.iterdir())


def test_not_a_radar_file(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"no radar file at all")
    for path in (tmp_path / "x.h5", tmp_path / "nothing.h5"):
        with pytest.raises(BadInput):
            compress(path, tmp_path / "a.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]


def test_below_is_the_nearest_sweep_that_has_the_field() -> None:
    tree = volume(66, ((10, 12),) * 5)
    for k, angle in enumerate([0.5, 0.5, 0.9, 0.9, 1.3]):
        tree[f"sweep_{k}/sweep_fixed_angle"] = angle
    for k in (0, 2):
        tree[f"sweep_{k}"] = tree[f"sweep_{k}"].to_dataset().drop_vars(["VRADH", "VRADH_validity"])
    source = open_source(tree)
    below = {
        (s.number, v): None if (b := source.below(s, v)) is None else b.number
        for s in source.sweeps
        for v in s.fields
    }
    assert below[0, "DBZH"] is None
    assert below[1, "VRADH"] is None
    assert below[3, "VRADH"] == 1
    assert below[3, "DBZH"] == 2
    assert below[4, "DBZH"] == 3


def test_full_circle_is_told() -> None:
    tree = volume(67, ((36, 10), (36, 10)))
    tree = recoordinated(tree, "sweep_1", azimuth=np.linspace(0, 180, 36))
    assert [s.full_circle for s in open_source(tree).sweeps] == [True, False]
    assert not open_source(one_field(np.zeros((36, 10), np.float32))).sweeps[0].full_circle


def test_interval_of_the_volume() -> None:
    seconds, known = open_source(volume(68)).interval()
    assert not known
    assert seconds == 30
    tree = volume(68)
    tree = recoordinated(tree, "sweep_2", time=tree["sweep_2"].time + np.timedelta64(290, "s"))
    seconds, known = open_source(tree).interval()
    assert known
    assert 290 < seconds < 300


def test_a_variable_of_which_a_psnr_leaves_little_is_named(tmp_path: Path) -> None:
    """Velocities within 1 m/s at 35 dB of a peak of 60 m/s all come back as 0."""
    rng = np.random.default_rng(4)
    slow, fast = (speed * smooth(rng, 60, 80, 0.02).astype(np.float32) for speed in (1, 20))
    assert not findings(run(one_field(fast, "VRADH"), tmp_path), "flattened")
    answer = run(one_field(slow, "VRADH"), tmp_path, overwrite=True)
    (found,) = findings(answer, "flattened")
    assert found.level == Level.CAUTION
    assert found.where == "VRADH"
    spread = answer.unwrap().variables["VRADH"].spread
    assert spread == pytest.approx(float(slow.std()), rel=0.1)
    kept = run(one_field(slow, "VRADH"), tmp_path, max_error={"VRADH": spread / 2}, overwrite=True)
    assert not findings(kept, "flattened")


def test_it_is_named_too_where_a_few_stray_gates_vary_more_than_the_weather(tmp_path: Path) -> None:
    """As on a real section: phase shift within 1 degree per km, and some gates of 20."""
    rng = np.random.default_rng(4)
    field = smooth(rng, 60, 80, 0.02).astype(np.float32)
    field *= np.float32(0.3 / field.std())
    field.flat[rng.choice(field.size, 30, replace=False)] = 20.0
    answer = run(one_field(field, "KDP"), tmp_path)
    report = answer.unwrap().variables["KDP"]
    assert 20 * 10 ** (-report.psnr / 20) < 0.5 * field.std()
    (found,) = findings(answer, "flattened")
    assert found.where == "KDP"


@pytest.mark.parametrize(("plain", "told"), [(1000, []), (995, []), (900, ["DBZH"])])
def test_a_hair_less_is_no_sign_of_another_kind_of_volume(plain: int, told: list[str]) -> None:
    """Nobody is told that the classical codec is "0 % smaller here"."""
    report = SimpleNamespace(
        tried={"context": 1000, "plain": plain}, valid_fraction=0.5, lossless=False, repaired=0
    )
    estimate: Any = SimpleNamespace(value=SimpleNamespace(variables={"DBZH": report}))
    source: Any = None
    found = [f for f in checks.codec_choice(source, estimate) if f.check == "unlike_training"]
    assert [f.where for f in found] == told
    assert not any(" 0 %" in f.message for f in found)
