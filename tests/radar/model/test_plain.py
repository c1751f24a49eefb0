"""The classical codec and the quantiser that all codecs share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sciai.core.errors import BadInput, CheckpointError, DamagedStore
from sciai.radar.model import registry
from sciai.radar.model.interface import QuantSpec, SweepCodec
from sciai.radar.model.plain import PlainCodec, pack_bytes, pack_symbols, unpack_bytes, unpack_symbols
from sciai.radar.model.quantise import (
    dequantise,
    exact_grid,
    is_exact,
    quantise,
    step_for_error,
    step_for_psnr,
)
from tests.radar.synthetic import smooth, validity

CODEC = PlainCodec()
PLANES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=10)
ANY_SIZE = st.one_of(st.integers(0, 4), st.integers(0, 2**32 - 1))


def view(shape: tuple[int, int], masks: dict[str, Any] | None = None) -> Any:
    masks = masks or {}
    return SimpleNamespace(shape=shape, variables=tuple(sorted({"A", "B", *masks})), mask=lambda v: masks[v])


def test_is_a_sweep_codec() -> None:
    assert isinstance(CODEC, SweepCodec)


@given(hnp.arrays(np.uint8, PLANES, elements=st.integers(0, 2)))
def test_any_mask(mask: Any) -> None:
    first = (mask + np.uint8(1)) % np.uint8(3)
    ctx = view(mask.shape, {"A": first})
    for var in ("A", "B"):
        payload = CODEC.encode_mask(var, mask, ctx)
        np.testing.assert_array_equal(CODEC.decode_mask(var, payload, ctx), mask)


def test_a_mask_like_the_reference_costs_next_to_nothing() -> None:
    mask = validity(np.random.default_rng(0), 200, 300)
    alone, ctx = CODEC.encode_mask("A", mask, view(mask.shape)), view(mask.shape, {"A": mask})
    assert len(CODEC.encode_mask("B", mask, ctx)) < len(alone) / 10


def test_a_reference_that_is_coded_later_is_not_used() -> None:
    mask = validity(np.random.default_rng(1), 20, 30)

    def refuse(var: str) -> Any:
        raise KeyError(var)

    ctx = SimpleNamespace(shape=mask.shape, variables=("A", "B"), mask=refuse)
    payload = CODEC.encode_mask("B", mask, ctx)  # type: ignore[arg-type]
    np.testing.assert_array_equal(CODEC.decode_mask("B", payload, ctx), mask)  # type: ignore[arg-type]


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(-50, 50, width=32),
    ),
    st.integers(0, 2**16),
    st.floats(0.01, 5),
    st.integers(0, 40),
)
def test_any_values(values: Any, seed: int, step: float, period: int) -> None:
    flags = np.random.default_rng(seed).integers(0, 3, values.shape).astype(np.uint8)
    spec = QuantSpec(step, -50.0, period)
    payload, indices = CODEC.encode_values("A", values, flags, spec, None)
    back = CODEC.decode_indices("A", payload, flags, spec, None)
    np.testing.assert_array_equal(back, indices)
    decoded = CODEC.reconstruct("A", back, flags, spec, None)
    np.testing.assert_array_equal(np.isnan(decoded), flags != 0)
    assert abs(decoded - values)[flags == 0].max(initial=0) <= step / 2 + 1e-5


@given(hnp.arrays(np.uint32, PLANES))
def test_any_float_bits(bits: Any) -> None:
    values = bits.view(np.float32)
    flags = np.where(np.isfinite(values), 0, 2).astype(np.uint8)
    spec = QuantSpec(0.0, 0.0)
    payload, _ = CODEC.encode_values("A", values, flags, spec, None)
    indices = CODEC.decode_indices("A", payload, flags, spec, None)
    decoded = CODEC.reconstruct("A", indices, flags, spec, None)
    np.testing.assert_array_equal(decoded.view(np.uint32)[flags == 0], bits[flags == 0])


def test_circular_fields_cost_less_when_they_fold() -> None:
    rng = np.random.default_rng(2)
    phase = (300 + 80 * smooth(rng, 60, 200, 0.02)).astype(np.float32) % 360
    flags = np.zeros(phase.shape, np.uint8)
    sizes = {}
    for period in (None, 360.0):
        spec = CODEC.plan("PHIDP", [(phase, flags)], psnr=35, peak=180, period=period)
        payload, indices = CODEC.encode_values("PHIDP", phase, flags, spec, None)
        np.testing.assert_array_equal(CODEC.decode_indices("PHIDP", payload, flags, spec, None), indices)
        decoded = CODEC.reconstruct("PHIDP", indices, flags, spec, None)
        assert abs(decoded - phase).max() < 20, "no value may come back a period away"
        sizes[period] = len(payload)
    assert sizes[360.0] < sizes[None]


@given(st.binary(max_size=300))
def test_byte_coder(data: bytes) -> None:
    symbols = np.frombuffer(data, np.uint8)
    np.testing.assert_array_equal(unpack_bytes(pack_bytes(symbols), symbols.size), symbols)


@given(hnp.arrays(np.uint32, st.integers(0, 60), elements=ANY_SIZE))
def test_symbol_coder(symbols: Any) -> None:
    data = pack_symbols(symbols)
    np.testing.assert_array_equal(unpack_symbols(data, symbols.size), symbols)
    for cut in (0, 1, len(data) // 2, len(data) - 1):
        if symbols.size:
            with pytest.raises(DamagedStore):
                unpack_symbols(data[:cut], symbols.size)


@pytest.mark.parametrize(
    "p", [[0.97, 0.02, 0.005, 0.005], [0.8, 0.1, 0.06, 0.04], [1 / 9] * 9, [1 / 40] * 40]
)
def test_symbol_coder_beats_bytes_and_nears_the_entropy(p: list[float]) -> None:
    import zlib

    symbols = np.random.default_rng(3).choice(len(p), 60_000, p=p).astype(np.uint32)
    size = len(pack_symbols(symbols))
    assert 8 * size / symbols.size < 1.45 * -(np.array(p) * np.log2(p)).sum()
    assert size < 1.01 * len(zlib.compress(symbols.astype(np.uint8).tobytes(), 9))


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 20, b"garbage of some length"])
def test_garbage_is_refused(data: bytes) -> None:
    flags = np.zeros((4, 5), np.uint8)
    with pytest.raises(DamagedStore):
        CODEC.decode_indices("A", b"\x00" * 9 + data, flags, QuantSpec(1, 0), None)
    with pytest.raises(DamagedStore):
        CODEC.decode_mask("A", b"\x00" + data if data else b"", view((4, 5)))


@pytest.mark.parametrize("psnr", [20.0, 35.0, 60.0])
def test_planned_step_reaches_the_psnr(psnr: float) -> None:
    rng = np.random.default_rng(4)
    values, flags = (20 + 10 * smooth(rng, 80, 90)).astype(np.float32), np.zeros((80, 90), np.uint8)
    spec = CODEC.plan("DBZH", [(values, flags)], psnr=psnr, peak=70, period=None)
    error = dequantise(quantise(values, flags, spec), flags, spec).astype(np.float64) - values
    assert psnr <= 20 * np.log10(70) - 10 * np.log10((error**2).mean()) < psnr + 0.3


@given(st.floats(1e-7, 1e3), st.floats(0, 1e5))
def test_step_for_error_holds_after_rounding(bound: float, largest: float) -> None:
    step = step_for_error(bound, largest)
    if step == 0:
        return
    rng = np.random.default_rng(0)
    values = rng.uniform(-largest, largest, (1, 500)).astype(np.float32)
    if 2 * largest / step > 2**29:
        return
    spec, flags = QuantSpec(step, float(values.min())), np.zeros(values.shape, np.uint8)
    error = dequantise(quantise(values, flags, spec), flags, spec).astype(np.float64) - values
    assert abs(error).max() <= bound


@pytest.mark.parametrize(
    ("scale", "offset", "count"),
    [
        (0.5, -33.0, 254),
        (1 / 16, -8.0, 254),
        (0.01, -327.0, 60_000),
        (1 / 2.8361, 2 / 2.8361, 1000),
        (0.1, 0.05, 500),
    ],
)
@pytest.mark.parametrize("arithmetic", ["f64", "f32"])
def test_grids_of_real_formats_are_found(scale: float, offset: float, count: int, arithmetic: str) -> None:
    """As written by readers that unpack in double or in single precision, with the packing known."""
    codes = np.unique(np.random.default_rng(5).integers(0, count, count // 2))
    if arithmetic == "f64":
        values = (codes * scale + offset).astype(np.float32)
    else:
        values = codes.astype(np.float32) * np.float32(scale) + np.float32(offset)
    spec = exact_grid(np.unique(values), [(scale, offset)])
    assert spec is not None
    assert is_exact(values, spec)


def test_a_grid_is_found_without_being_told() -> None:
    values = (np.arange(3, 250) * 0.5 - 33).astype(np.float32)
    spec = exact_grid(values)
    assert spec is not None
    assert spec.step == 0.5
    assert exact_grid(np.sort(np.random.default_rng(6).normal(size=1000)).astype(np.float32)) is None


def test_step_for_psnr_uses_the_datas_own_grid() -> None:
    """Values on a grid of 4 need no finer step than 4, whatever PSNR is asked for."""
    values, counts = np.float32([0, 4, 8, 12]), np.array([5, 1, 1, 5])
    assert step_for_psnr(values, counts, 90, 70, 0.0) <= 4
    assert step_for_psnr(values, counts, 10, 70, 0.0) > 4


def test_quantiser_says_when_values_reach_too_far() -> None:
    with pytest.raises(OverflowError):
        quantise(np.float32([[1e30]]), np.zeros((1, 1), np.uint8), QuantSpec(1.0, 0.0))


@given(
    st.floats(0, 1e3),
    st.floats(-1e3, 1e3),
    st.integers(0, 10**6),
    st.floats(0, allow_infinity=True, allow_nan=False),
)
def test_spec_as_json(step: float, origin: float, period: int, bound: float) -> None:
    spec = QuantSpec(step, origin, period, bound, {"a": [1, 2.5], "b": "x"})
    assert QuantSpec.from_json(spec.to_json()) == spec


def test_registry() -> None:
    assert registry.shipped_codec("plain").name == "plain"
    assert registry.shipped_codec("plain") is registry.shipped_codec("plain")
    assert registry.available_codecs()[-1].name == "plain"
    assert registry.model_hash(b"x") == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    with pytest.raises(BadInput, match="zip"):
        registry.shipped_codec("zip")


@pytest.mark.parametrize("place", [("sciai.no_such_module", "X"), ("sciai.radar.model.plain", "NoSuchClass")])
def test_a_codec_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, place: tuple[str, str]) -> None:
    monkeypatch.setitem(registry._CLASSES, "context", place)  # type: ignore[arg-type]
    registry._shipped.cache_clear()
    try:
        with pytest.raises(CheckpointError, match="context codec"):
            registry.shipped_codec("context")
        assert "context" not in [c.name for c in registry.available_codecs()]
    finally:
        registry._shipped.cache_clear()
