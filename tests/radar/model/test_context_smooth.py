"""Reconstruction inside the quantisation cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sciai.radar.model.context import fitting
from sciai.radar.model.context import smooth as module
from sciai.radar.model.context.fitting import fit, fit_second
from sciai.radar.model.context.second import CLASS, TERMS2, gather_second, with_margin
from sciai.radar.model.context.smooth import CLASSES, TERMS, Filter, shifts, values_of
from tests.radar.synthetic import smooth, validity

FILTERS = st.builds(
    lambda w, a, b: Filter(w, (min(a, b), max(a, b))),
    hnp.arrays(np.int8, (CLASSES, TERMS), elements=st.integers(-127, 127)),
    st.integers(0, 41),
    st.integers(0, 41),
)
TWICE = st.builds(
    lambda filt, w: Filter(filt.weights, filt.thresholds, w),
    FILTERS,
    hnp.arrays(np.int8, (CLASSES, TERMS2), elements=st.integers(-127, 127)),
)
PLANES = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.one_of(st.integers(-4, 4), st.integers(-(2**30), 2**30)),
)


def holes(plane: Any, seed: int) -> Any:
    return np.random.default_rng(seed).choice(np.uint8([0, 0, 0, 1, 2]), plane.shape)


@given(PLANES, FILTERS, st.sampled_from([0, 1, 7, 360]), st.booleans(), st.integers(0, 99))
def test_no_value_leaves_its_cell(plane: Any, filt: Filter, period: int, circle: bool, seed: int) -> None:
    mask = holes(plane, seed)
    found = shifts(plane, mask, filt, period, circle)
    assert found.dtype == np.int16
    assert abs(found).max() <= 128, "half a step"
    assert not found[mask != 0].any()


@given(PLANES, FILTERS, st.sampled_from([0, 5, 360]), st.integers(0, 9), st.integers(0, 99))
def test_where_the_circle_begins_does_not_matter(
    plane: Any, filt: Filter, period: int, turn: int, seed: int
) -> None:
    mask = holes(plane, seed)
    turned = shifts(np.roll(plane, turn, 0), np.roll(mask, turn, 0), filt, period, True)
    np.testing.assert_array_equal(turned, np.roll(shifts(plane, mask, filt, period, True), turn, 0))


@given(PLANES, FILTERS, st.integers(-1000, 1000), st.booleans(), st.integers(0, 99))
def test_only_differences_count(plane: Any, filt: Filter, by: int, circle: bool, seed: int) -> None:
    plane = plane // 2
    mask = holes(plane, seed)
    np.testing.assert_array_equal(
        shifts(plane + np.int32(by), mask, filt, 0, circle), shifts(plane, mask, filt, 0, circle)
    )


@given(FILTERS, st.integers(-3, 3), st.integers(-3, 3))
def test_symmetric_surroundings_move_nothing(filt: Filter, up: int, out: int) -> None:
    """On a slope what is higher on one side is lower on the other; without a constant the sums cancel."""
    filt.weights[:, -1] = 0
    r, g = np.indices((9, 10), dtype=np.int32)
    plane = (up * r + out * g).astype(np.int32)
    found = shifts(plane, np.zeros(plane.shape, np.uint8), filt, 0, False)
    assert not found[2:-2, 2:-2].any()
    assert Filter.none().weights.any() == shifts(plane, holes(plane, 0), Filter.none(), 0, True).any() == 0


def test_circular_differences_take_the_short_way() -> None:
    rng = np.random.default_rng(0)
    filt = Filter(rng.integers(-40, 40, (CLASSES, TERMS)).astype(np.int8), (3, 9))
    plane = rng.integers(-3, 4, (12, 14)).astype(np.int32)
    mask = np.zeros(plane.shape, np.uint8)
    straight = shifts(plane, mask, filt, 0, True)
    np.testing.assert_array_equal(shifts(plane % np.int32(360), mask, filt, 360, True), straight)
    assert (shifts(plane % np.int32(360), mask, filt, 0, True) != straight).any()


@pytest.mark.parametrize("circle", [False, True])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_fitting_reduces_the_error_on_smooth_fields(circle: bool, noise: float) -> None:
    rng = np.random.default_rng(1)
    target = (6 * smooth(rng, 80, 90, noise)).astype(np.float32)
    plane, mask = np.rint(target).astype(np.int32), validity(rng, 80, 90)
    filt = fit([(plane, mask, target, 0, slice(None))], circle)
    valid = mask == 0
    before = (target - plane)[valid]
    after = before - shifts(plane, mask, filt, 0, circle)[valid] / 256
    assert (after**2).mean() < 0.75 * (before**2).mean()


@given(PLANES, st.integers(0, 99))
def test_fitting_never_fails(plane: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = (plane + rng.uniform(-0.5, 0.5, plane.shape)).astype(np.float32)
    filt = fit([(plane, holes(plane, seed), target, 0, slice(None))], True)
    assert not filt.weights.any(), "a few gates are no ground for weights"
    assert Filter.from_text(fit([], False).to_text()).weights.shape == (CLASSES, TERMS)


@given(FILTERS)
def test_text_round_trip(filt: Filter) -> None:
    again = Filter.from_text(filt.to_text())
    np.testing.assert_array_equal(again.weights, filt.weights)
    assert again.thresholds == filt.thresholds


@pytest.mark.parametrize("text", ["", "!", "ü", "0" * 43, "0" * 45])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Filter.from_text(text)


@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.sampled_from([0, 2, 17, 60]),
    st.sampled_from([1, 2, 5, 50, 2**29]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_row_by_row_is_gate_by_gate(
    shape: tuple[int, int], period: int, spread: int, wide: bool, circle: bool, seed: int
) -> None:
    """Vector code gives the very shifts of the loop over gates and neighbours, which stores depend on."""
    rng = np.random.default_rng(seed)
    low, high = (0, period) if period and not wide else (-spread, spread + 1)
    mask = np.where(rng.random(shape) < rng.random(), 2, 0).astype(np.uint8)
    indices = np.where(mask == 0, rng.integers(low, high, shape), 0).astype(np.int32)
    weights = rng.integers(-127, 128, (CLASSES, TERMS)).astype(np.int8)
    filt = Filter(weights, (int(rng.integers(0, 10)), int(rng.integers(10, 40))))
    slow = np.zeros(shape, np.int16)
    terms = np.zeros(TERMS, np.int64)
    own = weights.astype(np.int64)
    module._shifts(indices, mask, own, *filt.thresholds, period, circle, module.OFFSETS, terms, slow)
    np.testing.assert_array_equal(shifts(indices, mask, filt, period, circle), slow)
    values = values_of(indices, mask, slow, 0.37, -3.3)
    wide_values = (indices * np.float64(256) + slow) * (0.37 / 256) - 3.3
    expected = np.where(mask == 0, wide_values, np.nan).astype(np.float32)
    np.testing.assert_array_equal(values.view(np.int32), expected.view(np.int32))


def seen(q: Any, mask: Any, filt: Filter, period: int, circle: bool) -> Iterator[Any]:
    """What the second look sees, gate by gate, in Python's own integers: place, first shift, class, terms."""
    first = shifts(q, mask, Filter(filt.weights, filt.thresholds), period, circle).astype(int)
    rays, gates = q.shape
    rings = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (0, 3), (1, 2), (2, 1))
    wide = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))

    def difference(r: int, g: int, dr: int, dg: int) -> tuple[int, int] | None:
        rr, gg = (r + dr) % rays if circle else r + dr, g + dg
        if not (0 <= rr < rays and 0 <= gg < gates) or mask[rr, gg]:
            return None
        d = int(q[rr, gg]) - int(q[r, g])
        if period:
            d = (d + period // 2) % period - period // 2
        return d, max(-8, min(8, d)) * 256 + first[rr, gg] - first[r, g]

    for r, g in zip(*np.nonzero(mask == 0), strict=True):
        rough, terms = 0, []
        for ring in rings:
            around = {(a * ring[0], b * ring[1]) for a in (-1, 1) for b in (-1, 1)}
            found = [f for f in (difference(r, g, *o) for o in sorted(around)) if f is not None]
            rough += sum(min(abs(d), 3) for d, _ in found) if ring in wide else 0
            terms += [sum(max(-m, min(m, d)) for _, d in found) for m in (128, 384)]
        kind = int(min(rough, 39) >= filt.thresholds[0]) + int(min(rough, 39) >= max(filt.thresholds))
        yield (r, g), first[r, g], kind, [*terms, 256]


def by_hand(q: Any, mask: Any, filt: Filter, period: int, circle: bool) -> Any:
    """The second look."""
    out = np.zeros(q.shape, np.int16)
    assert filt.second is not None
    for place, first, kind, terms in seen(q, mask, filt, period, circle):
        total = sum(int(w) * t for w, t in zip(filt.second[kind], terms, strict=True))
        out[place] = max(-255, min(255, first + ((total + 128) >> 8)))
    return out


@given(
    hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-30, 30)),
    TWICE,
    st.sampled_from([0, 90]),
    st.booleans(),
    st.integers(0, 99),
)
def test_a_second_look_is_what_it_says(
    plane: Any, filt: Filter, period: int, circle: bool, seed: int
) -> None:
    mask = holes(plane, seed)
    found = shifts(plane, mask, filt, period, circle)
    np.testing.assert_array_equal(found, by_hand(plane, mask, filt, period, circle))


@pytest.mark.parametrize("period", [0, 90])
@pytest.mark.parametrize("circle", [True, False])
@pytest.mark.parametrize("reach", [1, 4, 30])
def test_rays_at_a_time_give_the_sums_of_gate_by_gate(
    monkeypatch: pytest.MonkeyPatch, period: int, circle: bool, reach: int
) -> None:
    rng = np.random.default_rng(reach)
    planes = []
    for seed in (1, 2):
        steps = rng.integers(-reach, reach + 1, (24, 90))
        plane = (np.cumsum(steps, 1) % (period or 10**6)).astype(np.int32)
        target = (plane + rng.uniform(-0.5, 0.5, plane.shape)).astype(np.float32)
        planes.append((plane, holes(plane, seed), target, period, slice(seed, 22)))
    found = fit(planes, circle)
    assert np.any(found.weights)
    monkeypatch.setattr(fitting, "nearby", lambda *reach: False)
    assert fit(planes, circle).to_text() == found.to_text()


@pytest.mark.parametrize("period", [0, 90])
@pytest.mark.parametrize("circle", [True, False])
def test_weights_of_a_second_look_are_fitted_to_what_it_sees(period: int, circle: bool) -> None:
    rng = np.random.default_rng(7)
    plane = np.cumsum(rng.integers(-1, 2, (9, 40)), 1).astype(np.int32)
    mask = holes(plane, 3)
    target = (plane + rng.normal(0, 0.3, plane.shape)).astype(np.float32)
    filt = Filter(rng.integers(-99, 99, (CLASSES, TERMS)).astype(np.int8), (4, 12))
    a, b, c = np.zeros((CLASSES, TERMS2, TERMS2)), np.zeros((CLASSES, TERMS2)), np.zeros(CLASSES)
    for (r, g), first, kind, terms in seen(plane, mask, filt, period, circle):
        if 2 <= r < 8:
            t = np.array(terms) / 256
            a[kind] += np.tril(np.outer(t, t))
            b[kind] += t * (np.float64(target[r, g]) - plane[r, g] - first / 256)
            c[kind] += 1
    tagged = np.zeros(plane.shape, np.int16)
    module.first_look(with_margin(plane, mask, circle)[0], filt, period, CLASS, tagged)
    found = np.zeros_like(a), np.zeros_like(b), np.zeros_like(c)
    gather_second(with_margin(plane, mask, circle)[0], tagged, target, 2, 8, period, circle, *found)
    assert (c > 5).all()
    for got, wanted in zip(found, (a, b, c), strict=True):
        np.testing.assert_array_equal(got, wanted)


@given(FILTERS, st.sampled_from([12, 61]), st.integers(0, 30), st.booleans(), st.integers(0, 99))
def test_there_is_no_second_look_at_indices_that_reach_a_whole_turn(
    filt: Filter, period: int, more: int, circle: bool, seed: int
) -> None:
    """Whether vector code takes the plane or not: stores were written so."""
    plane = np.random.default_rng(seed).integers(0, period + more + 1, (8, 9)).astype(np.int32)
    plane[3, 4], plane[6, 2] = 0, period + more
    mask = np.zeros(plane.shape, np.uint8)
    twice = Filter(filt.weights, filt.thresholds, np.full((CLASSES, TERMS2), 99, np.int8))
    once = np.zeros(plane.shape, np.int16)
    terms, own = np.zeros(TERMS, np.int64), filt.weights.astype(np.int64)
    module._shifts(plane, mask, own, *filt.thresholds, period, circle, module.OFFSETS, terms, once)
    np.testing.assert_array_equal(shifts(plane, mask, twice, period, circle), once)


@given(PLANES, TWICE, st.sampled_from([0, 1, 7, 360]), st.booleans(), st.integers(0, 99))
def test_a_second_look_stays_within_a_step(
    plane: Any, filt: Filter, period: int, circle: bool, seed: int
) -> None:
    mask = holes(plane, seed)
    found = shifts(plane, mask, filt, period, circle)
    assert abs(found.astype(int)).max() <= 255
    assert not found[mask != 0].any()


def test_a_filter_with_a_second_look_as_text() -> None:
    rng = np.random.default_rng(1)
    weights = [rng.integers(-127, 128, (CLASSES, n)).astype(np.int8) for n in (TERMS, TERMS2)]
    back = Filter.from_text(Filter(weights[0], (3, 9), weights[1]).to_text())
    np.testing.assert_array_equal(back.weights, weights[0])
    assert back.second is not None
    np.testing.assert_array_equal(back.second, weights[1])
    with pytest.raises(ValueError, match="another length"):
        Filter.from_text(Filter(weights[0], (3, 9), weights[1][:2]).to_text())


def test_a_second_look_sees_more_of_a_smooth_field() -> None:
    r, g = np.indices((120, 150))
    exact = (6 * np.sin(r / 17.0) + 5 * np.cos(g / 13.0 + r / 40.0)).astype(np.float32)
    indices = np.rint(exact).astype(np.int32)
    mask = np.zeros(indices.shape, np.uint8)
    planes = [(indices, mask, exact, 0, slice(0, 120))]
    one = fit(planes, False)
    two = fit_second(planes, one, False)
    left = [np.square(exact - indices - shifts(indices, mask, f, 0, False) / 256).mean() for f in (one, two)]
    assert left[1] < 0.9 * left[0]
