"""Pictures: each gate where it belongs, both kinds of invalid told apart, errors the short way round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from sciai.core.errors import BadInput
from sciai.radar.api.measure import Tally
from sciai.radar.api.palette import BELOW_NOISE_COLOUR, class_scale, difference_scale, scale_of
from sciai.radar.api.raster import rasterise
from sciai.radar.api.view import difference, draw, drawable, heading, view
from sciai.radar.data.validity import attributes

PNG = b"\x89PNG\r\n\x1a\n"


def make_sweep(
    values: np.ndarray,
    flags: np.ndarray | None = None,
    *,
    name: str = "DBZH",
    azimuths: np.ndarray | None = None,
) -> xr.Dataset:
    rays, gates = values.shape
    azimuth = np.arange(rays) * 360.0 / rays if azimuths is None else azimuths
    flags = np.where(np.isnan(values), 2, 0).astype(np.uint8) if flags is None else flags
    return xr.Dataset(
        {
            name: (("azimuth", "range"), values.astype(np.float32)),
            f"{name}_validity": (("azimuth", "range"), flags, attributes()),
            "sweep_fixed_angle": 0.5,
        },
        coords={
            "azimuth": azimuth,
            "elevation": ("azimuth", np.full(rays, 0.5)),
            "range": np.arange(gates) * 1000.0 + 500.0,
        },
    )


def volume_of(*sweeps: xr.Dataset, **attrs: str) -> xr.DataTree:
    tree = xr.DataTree.from_dict({f"/sweep_{number}": sweep for number, sweep in enumerate(sweeps)})
    tree.attrs.update(attrs)
    return tree


def test_each_pixel_shows_the_gate_under_it() -> None:
    rays, gates = 36, 20
    values = np.arange(rays * gates, dtype=np.float32).reshape(rays, gates)
    sweep = make_sweep(values)
    raster = rasterise(sweep, "DBZH", np.zeros((rays, gates), np.uint8))
    size = raster.ray.shape[0]
    left, right, bottom, top = raster.extent
    for ray, gate in [(0, 5), (9, 10), (18, 3), (27, 15), (13, 18)]:
        angle, distance = np.radians(ray * 10.0), gate + 0.5
        column = round((distance * np.sin(angle) - left) / (right - left) * (size - 1))
        row = round((distance * np.cos(angle) - bottom) / (top - bottom) * (size - 1))
        assert raster.inside[row, column]
        assert (raster.ray[row, column], raster.gate[row, column]) == (ray, gate)


def test_a_blanked_sector_stays_empty_and_north_is_not_a_seam() -> None:
    azimuths = np.concatenate([np.arange(0.5, 90.0), np.arange(270.5, 360.0)])
    sweep = make_sweep(np.ones((azimuths.size, 10), np.float32), azimuths=azimuths)
    raster = rasterise(sweep, "DBZH", np.zeros((azimuths.size, 10), np.uint8))
    size = raster.inside.shape[0]
    assert not raster.inside[: size // 2 - 20].any()  # the south was not scanned
    assert raster.inside[size - 40, size // 2 - 3 : size // 2 + 3].all()  # across north


def test_unsorted_rays_are_drawn_where_they_point() -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(72)
    values = (np.arange(72.0)[:, None] * np.ones((1, 8))).astype(np.float32)
    straight = rasterise(make_sweep(values), "DBZH", np.zeros((72, 8), np.uint8))
    shuffled = rasterise(make_sweep(values[order], azimuths=order * 5.0), "DBZH", np.zeros((72, 8), np.uint8))
    pointing = values[straight.ray, straight.gate], values[order][shuffled.ray, shuffled.gate]
    assert np.array_equal(pointing[0][straight.inside], pointing[1][straight.inside])


def test_both_kinds_of_invalid_have_their_colour() -> None:
    from matplotlib.colors import to_rgba

    values = np.full((36, 12), 30.0, np.float32)
    flags = np.zeros((36, 12), np.uint8)
    flags[:9], flags[9:18] = 1, 2  # north to east below noise, east to south missing
    values[flags > 0] = np.nan
    image = draw(volume_of(make_sweep(values, flags))).axes[0].images[0].get_array()
    size = image.shape[0]
    north_east, south_east = image[int(size * 0.7), int(size * 0.7)], image[int(size * 0.3), int(size * 0.7)]
    assert np.allclose(north_east, to_rgba(BELOW_NOISE_COLOUR))
    assert np.allclose(south_east, to_rgba("white"))
    assert not np.allclose(image[int(size * 0.7), int(size * 0.3)], to_rgba("white"))


def test_difference_says_what_was_measured_and_shows_a_changed_mask() -> None:
    rng = np.random.default_rng(1)
    values = rng.uniform(0, 50, (36, 40)).astype(np.float32)
    decoded = values + np.float32(0.5)
    flags = np.zeros(values.shape, np.uint8)
    flags2 = flags.copy()
    flags2[0, :3] = 1
    figure = draw(volume_of(make_sweep(values)), volume_of(make_sweep(decoded, flags2)))
    title = figure.axes[2].get_title(loc="left")
    assert f"PSNR {20 * np.log10(70 / 0.5):.1f} dB" in title
    assert "worst 0.5 dBZ" in title
    assert "3 gates changed validity" in title


def test_phase_and_velocity_differ_the_short_way_round() -> None:
    assert difference("PHIDP", np.float32([[359.0]]), np.float32([[1.0]])).tolist() == [[2.0]]
    sweep = make_sweep(np.float32([[9.5]]), name="VRADH")
    sweep["nyquist_velocity"] = ("azimuth", [10.0])
    assert difference("VRADH", np.float32([[9.5]]), np.float32([[-9.5]]), sweep).tolist() == [[1.0]]
    assert difference("DBZH", np.float32([[9.5]]), np.float32([[-9.5]])).tolist() == [[-19.0]]


def test_figures_of_a_circular_field_are_those_of_the_report_and_the_picture_says_that_it_wraps() -> None:
    values = np.full((36, 12), 40.0, np.float32)
    values[3, 4] = 359.0
    for back, wraps in ((1.0, True), (357.0, False)):
        decoded = values.copy()
        decoded[3, 4] = back
        tally = Tally()
        tally.add(values, decoded, np.zeros(values.shape, np.uint8), reflectivity=False)
        figure = draw(
            volume_of(make_sweep(values, name="PHIDP")), volume_of(make_sweep(decoded, name="PHIDP"))
        )
        title = figure.axes[2].get_title(loc="left")
        assert f"PSNR {tally.psnr(180.0):.1f} dB" in title
        assert f"worst {tally.max_error:.3g}" in title
        assert ("short way round" in title) == wraps


def test_a_vertical_section_is_drawn_as_height_over_range() -> None:
    elevation = np.arange(0.0, 90.0)
    sweep = xr.Dataset(
        {"DBZH": (("elevation", "range"), np.full((90, 30), 20.0, np.float32))},
        coords={
            "elevation": elevation,
            "azimuth": ("elevation", np.full(90, 167.0)),
            "range": np.arange(30) * 100.0 + 50.0,
        },
    )
    axis = draw(volume_of(sweep)).axes[0]
    assert axis.get_ylabel() == "height (km)"
    assert axis.images[0].get_extent()[3] > 2.5


def test_fields_and_sweeps_can_be_chosen_and_wrong_ones_are_named() -> None:
    values = np.full((36, 12), 20.0, np.float32)
    volume = volume_of(make_sweep(values), make_sweep(values, name="VRADH"))
    assert drawable(volume) == ["DBZH", "VRADH"]
    assert len([a for a in draw(volume, sweeps=[1]).axes if a.get_title(loc="left")]) == 1
    with pytest.raises(BadInput, match="no field ZDR"):
        draw(volume, variables=["ZDR"])
    with pytest.raises(BadInput, match="no sweep 7"):
        draw(volume, sweeps=[7])
    with pytest.raises(BadInput, match="none of these sweeps"):
        draw(volume, variables=["DBZH"], sweeps=[1])
    with pytest.raises(BadInput, match="too many"):
        draw(volume_of(*[make_sweep(values)] * 30), sweeps=range(30))


def test_a_volume_without_fields_is_refused() -> None:
    with pytest.raises(BadInput, match="no field to draw"):
        draw(xr.DataTree.from_dict({"/sweep_0": xr.Dataset({"time": ("azimuth", [0.0])})}))


def test_heading_says_synthetic() -> None:
    sweep = make_sweep(np.full((36, 12), 20.0, np.float32))
    assert heading(volume_of(sweep, instrument_name="KTLX")) == "KTLX"
    assert "synthetic" in heading(volume_of(sweep, title="synthetic storm"))


def test_png_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    volume = volume_of(make_sweep(np.full((36, 12), 20.0, np.float32)))
    path = view(volume, tmp_path / "a.png")
    assert path.read_bytes().startswith(PNG)
    with pytest.raises(BadInput, match="does not exist"):
        view(volume, tmp_path / "nowhere" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(BadInput, match="could not be written"):
        view(volume, tmp_path / "folder.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "folder.png"]


@pytest.mark.parametrize("variable", ["DBZH", "ZDR", "RHOHV", "PHIDP", "KDP", "VRADH", "WRADH", "SOMETHING"])
@pytest.mark.parametrize("values", [np.array([np.nan]), np.array([3.0, 3.0]), np.linspace(-40, 60, 50)])
def test_every_field_has_a_scale_that_is_not_empty(variable: str, values: np.ndarray) -> None:
    scale = scale_of(variable, values)
    assert np.isfinite([scale.low, scale.high]).all()
    assert scale.low < scale.high


def test_phases_on_both_sides_of_north_get_a_scale_of_their_own() -> None:
    """Echo at 350 to 30 degrees is no reason to draw 0 to 360, in which nothing can be told apart."""
    values = np.linspace(-10.0, 30.0, 36 * 12, dtype=np.float32).reshape(36, 12) % 360
    scale = scale_of("PHIDP", values)
    assert -11 < scale.low < -8
    assert 28 < scale.high < 31
    shown = scale.base + (values - scale.base) % 360
    assert shown.min() == pytest.approx(-10, abs=0.01)
    draw(volume_of(make_sweep(values, name="PHIDP")))
    assert scale_of("PHIDP", np.linspace(0.0, 359.0, 400)).base is None


def test_weak_fields_are_not_one_colour() -> None:
    for name in ("KDP", "WRADH"):
        weak, strong = (scale_of(name, np.linspace(0.0, top, 400)) for top in (1.0, 5.0))
        assert weak.high <= 2 < 6 <= strong.high


def test_some_stray_gates_do_not_make_all_differences_pale() -> None:
    error = np.linspace(-1.0, 1.0, 2000)
    error[:5] = 40.0
    assert difference_scale("DBZH", error, "dBZ").high == pytest.approx(1.0, rel=0.02)
    assert difference_scale("DBZH", np.zeros(9), "dBZ").high == 1.0
    error[:] = 0.0
    error[0] = 3.0
    assert difference_scale("DBZH", error, "dBZ").high == 3.0


def test_a_radar_without_a_name_is_told_by_its_place() -> None:
    volume = volume_of(make_sweep(np.full((36, 12), 20.0, np.float32)))
    volume.attrs = {}
    volume.coords["latitude"], volume.coords["longitude"] = -33.9, 18.5
    assert heading(volume).startswith("radar at 33.90° S, 18.50° E")
    volume.attrs["instrument_name"] = "Cape"
    assert heading(volume).startswith("Cape")


def test_all_missing_volume_is_drawn() -> None:
    figure = draw(volume_of(make_sweep(np.full((36, 12), np.nan, np.float32))))
    assert len(figure.axes) == 2


@pytest.mark.parametrize("rays", [1, 2, 3])
def test_a_few_rays_are_no_whole_turn(rays: int) -> None:
    sweep = make_sweep(np.ones((rays, 10), np.float32), azimuths=90.0 + np.arange(rays))
    raster = rasterise(sweep, "DBZH", np.zeros((rays, 10), np.uint8))
    size = raster.inside.shape[0]
    assert raster.inside[size // 2, size - 60]  # towards the east
    assert not raster.inside[:, : size // 2 - 3].any()
    assert raster.inside.mean() < 0.05


@pytest.mark.parametrize("name", ["azimuth", "range"])
def test_a_sweep_that_lies_nowhere_is_not_drawn(name: str) -> None:
    sweep = make_sweep(np.ones((36, 10), np.float32))
    for nowhere in (sweep.drop_vars(name), sweep.assign_coords({name: sweep[name] * np.nan})):
        with pytest.raises(BadInput, match="cannot be drawn") as caught:
            draw(volume_of(nowhere))
        assert caught.value.field == name


def test_classes_have_a_colour_each() -> None:
    values = np.repeat(np.float32([9, 105, 106, 107]), 9)[:, None] * np.ones((1, 12), np.float32)
    figure = draw(volume_of(make_sweep(values, name="HCLASS")))
    image = figure.axes[0].images[0].get_array()
    size = image.shape[0]
    around = [
        image[int(size * y), int(size * x)] for y, x in ((0.7, 0.7), (0.3, 0.7), (0.3, 0.3), (0.7, 0.3))
    ]
    apart = [np.abs(a - b)[:3].max() for k, a in enumerate(around) for b in around[:k]]
    assert min(apart) > 0.3
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["9", "105", "106", "107"]


def test_classes_are_called_by_their_meaning_and_too_many_get_the_usual_scale() -> None:
    attrs = {"flag_values": np.int8([1, 2, 3]), "flag_meanings": "rain snow hail"}
    assert class_scale("CLASS", np.float32([3, np.nan, 1]), attrs).classes == {1.0: "1 rain", 3.0: "3 hail"}
    assert not class_scale("CLASS", np.arange(30.0), {}).classes
    assert not class_scale("CLASS", np.float32([np.nan]), {}).classes


def test_a_field_without_a_valid_gate_says_so() -> None:
    figure = draw(volume_of(make_sweep(np.full((36, 10), np.nan, np.float32))))
    assert figure.axes[0].get_title(loc="left").endswith("no valid gate")
