"""The transform codec: exact, bounded, any geometry; a tiny model trained here in seconds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from sciai.core.errors import CheckpointError, DamagedStore
from sciai.radar.model.interface import QuantSpec, SweepCodec
from sciai.radar.model.transform import TransformCodec
from sciai.radar.model.transform_scale import CLASSES, variable_class
from sciai.radar.model.transform_tables import geometric_tables


@dataclass
class Alone:
    """A sweep without neighbours."""

    shape: tuple[int, int]
    full_circle: bool = True
    below: None = None
    previous: None = None
    variables: list[str] = field(default_factory=list)


def storm(rays: int, gates: int, seed: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth echo with noise, dBZ-like; the rest below noise or missing."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, rays, endpoint=False)[:, None]
    reach = np.linspace(0, 1, gates)[None]
    field_ = 25 * np.sin(2 * angle + rng.uniform(0, 6)) * np.cos(5 * reach + rng.uniform(0, 6)) + 15
    values = (field_ + noise * rng.normal(size=(rays, gates))).astype(np.float32)
    validity = np.where(field_ > 5, 0, np.where(reach > 0.9, 2, 1)).astype(np.uint8)
    return np.where(validity == 0, values, np.nan).astype(np.float32), validity


@pytest.fixture(scope="module")
def trained() -> Any:
    """A small network after some seconds of training, through the loss that ships."""
    import torch

    from sciai.radar.train import planes, transform
    from sciai.radar.train.volumes import Sweep

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    volumes = [
        (f"v{s}", f"g{s}", [Sweep("sweep_0", 1.0, {"DBZH": storm(80, 96, s), "VRADH": storm(80, 96, s + 9)})])
        for s in range(4)
    ]
    data = planes.Planes(volumes=volumes, patch=64)
    net = transform.network(latents=6, width=8, widths=(12, 8, 8, 8))
    optimizer = torch.optim.Adam(net.parameters(), 4e-3)
    rng = np.random.default_rng(0)
    curve = []
    for _ in range(80):
        batch = torch.utils.data.default_collate(
            [data.item(int(rng.integers(len(data))), rng) for _ in range(4)]
        )
        parts = transform.loss(net, batch)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        curve.append(float(parts["rate_distortion"]))
    torch.set_num_threads(threads)
    return net.eval(), curve


@pytest.fixture(scope="module")
def codec(trained: Any) -> TransformCodec:
    from sciai.radar.train import transform

    return TransformCodec(transform.export(trained[0]))


def code(
    codec: TransformCodec,
    var: str,
    values: np.ndarray,
    validity: np.ndarray,
    decoder: Any = None,
    **wanted: Any,
) -> tuple[bytes, np.ndarray, QuantSpec]:
    """Plan, encode, decode; the payload, the decoded values and the spec as a store would hold it."""
    wanted = {"peak": 70.0, "period": None} | wanted
    spec = codec.plan(var, [(values, validity)], **wanted)
    spec = QuantSpec.from_json(spec.to_json())
    ctx: Any = Alone(validity.shape)
    payload, indices = codec.encode_values(var, values, validity, spec, ctx)
    decoder = decoder or codec
    back = decoder.decode_indices(var, payload, validity, spec, ctx)
    np.testing.assert_array_equal(back, indices)
    return payload, decoder.reconstruct(var, back, validity, spec, ctx), spec


def psnr(values: np.ndarray, back: np.ndarray, peak: float) -> float:
    error = (back - values)[np.isfinite(values)].astype(float)
    return float(10 * np.log10(peak**2 / np.mean(error**2)))


def test_it_is_a_sweep_codec(codec: TransformCodec) -> None:
    assert isinstance(codec, SweepCodec)
    assert codec.name == "transform"
    assert codec.depends("DBZH", "values", ["DBZH", "ZDR"]) == [("DBZH", "mask", "here")]


def test_training_lowers_rate_and_distortion(trained: Any) -> None:
    curve = trained[1]
    assert np.mean(curve[-10:]) < 0.6 * np.mean(curve[:10])


@pytest.mark.parametrize("wanted", [30.0, 35.0, 44.0, 50.0])
def test_the_psnr_holds_without_being_exceeded_by_much(codec: TransformCodec, wanted: float) -> None:
    values, validity = storm(72, 160, 3)
    _, back, _ = code(codec, "DBZH", values, validity, psnr=wanted)
    reached = psnr(values, back, 70.0)
    assert wanted <= reached < wanted + 0.3
    np.testing.assert_array_equal(np.isnan(back), validity != 0)


@pytest.mark.parametrize("bound", [0.02, 0.5, 3.0])
@pytest.mark.parametrize("target", [None, 35.0])
def test_the_largest_error_is_never_exceeded(
    codec: TransformCodec, bound: float, target: float | None
) -> None:
    values, validity = storm(40, 90, 5, noise=3.0)
    values[10, 20:23] = 500.0  # far outside of anything a network would predict
    validity[10, 20:23] = 0
    _, back, _ = code(codec, "DBZH", values, validity, psnr=target, max_error=bound)
    assert np.nanmax(np.abs(back - values)) <= bound
    if target:
        assert psnr(values, back, 70.0) >= target


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (359, 9), (17, 23), (720, 40), (91, 133)])
def test_any_geometry_and_any_variable(codec: TransformCodec, shape: tuple[int, int]) -> None:
    values, validity = storm(*shape, seed=1)
    validity[0, 0], values[0, 0] = 0, 12.0
    for var, peak in (("DBZH", 70.0), ("UNHEARD_OF", 33.0)):
        _, back, _ = code(codec, var, values, validity, psnr=35.0, peak=peak)
        exact = np.nanmax(np.abs(back - values)) == 0
        assert exact or psnr(values, back, peak) >= 35.0


@pytest.mark.parametrize("centre", [0.0, 178.0])
def test_phases_are_circular_and_stay_within_the_range_of_the_source(
    codec: TransformCodec, centre: float
) -> None:
    """A phase around the fold costs little more than elsewhere, and 359.9 does not come back as 0.1."""
    values, validity = storm(60, 90, 4, noise=0.3)
    phase = np.mod(values - 15 + np.float32(centre), np.float32(360.0))
    payload, back, spec = code(codec, "PHIDP", phase, validity, psnr=35.0, peak=180.0, period=360.0)
    assert spec.period > 0
    assert psnr(phase, back, 180.0) >= 35.0
    assert np.nanmax(np.abs(back - phase)) < 2.0 * spec.step * 16
    reference, _, _ = code(
        codec, "PHIDP", np.mod(phase + 90, np.float32(360.0)), validity, psnr=35.0, peak=180.0, period=360.0
    )
    assert len(payload) < 1.3 * len(reference)
    _, back, spec = code(codec, "PHIDP", phase, validity, max_error=0.4, peak=180.0, period=360.0)
    assert spec.period == 0
    assert np.nanmax(np.abs(back - phase)) <= 0.4


def test_exact_and_constant_and_empty_planes(codec: TransformCodec) -> None:
    values, validity = storm(24, 40, 2)
    _, back, _ = code(codec, "ZDR", values, validity, lossless=True)
    np.testing.assert_array_equal(back, values)
    flat = np.where(validity == 0, np.float32(3.7), np.nan).astype(np.float32)
    payload, back, _ = code(codec, "ZDR", flat, validity, psnr=35.0)
    np.testing.assert_array_equal(back, flat)
    assert len(payload) < 40
    nothing = np.full_like(validity, 2)
    _, back, _ = code(codec, "ZDR", np.full_like(values, np.nan), nothing, psnr=35.0)
    assert np.isnan(back).all()


def test_a_trained_prediction_pays(codec: TransformCodec) -> None:
    """Smooth fields: fewer bits than the empirical entropy of the quantised differences along the ray."""
    values, validity = storm(80, 96, 40, noise=0.5)
    payload, _, _ = code(codec, "DBZH", values, validity, psnr=35.0)
    step = 12**0.5 * 70.0 / 10 ** (35 / 20)
    valid = validity == 0
    indices = np.rint(values[valid] / step)
    _, counts = np.unique(indices, return_counts=True)
    share = counts / counts.sum()
    assert 8 * len(payload) < -(share * np.log2(share)).sum() * valid.sum()


def test_the_model_travels_as_bytes(codec: TransformCodec) -> None:
    decoder = TransformCodec.from_model(codec.model)
    assert TransformCodec.from_model(codec.model).model == codec.model
    values, validity = storm(48, 64, 8)
    code(codec, "VRADH", values, validity, decoder=decoder, psnr=35.0, peak=60.0)
    with pytest.raises(CheckpointError, match="decodes only"):
        decoder.plan("VRADH", [(values, validity)], psnr=35.0, peak=60.0, period=None)
    for wrong in (b"", b"abc", codec.model[:-20], codec.model[:50] + b"\0" + codec.model[51:]):
        with pytest.raises(CheckpointError):
            TransformCodec.from_model(wrong)


def test_a_checkpoint_folder_round_trip(trained: Any, codec: TransformCodec, tmp_path: Any) -> None:
    from sciai.core.checkpoint import Card, Checkpoint
    from sciai.radar.train import transform

    saved = Checkpoint(transform.export(trained[0]), Card("tiny", "radar")).save(tmp_path / "tiny")
    loaded = TransformCodec.from_checkpoint(Checkpoint.load(tmp_path / "tiny", expect=saved.hash))
    assert loaded.model == codec.model
    assert loaded.checkpoint == saved.hash
    assert codec.checkpoint == TransformCodec.from_model(codec.model).checkpoint == ""


def test_an_answer_names_the_shipped_checkpoint(tmp_path: Any) -> None:
    from sciai.core.checkpoint import Checkpoint
    from sciai.core.resources import checkpoints_dir
    from sciai.radar import compress
    from tests.radar.synthetic import volume

    tree = volume(3, ((16, 16),), ("VRADH",))
    answer = compress(tree, tmp_path / "a.zarr", codec="transform", threads=1)
    assert set(answer.unwrap().models) == {"transform"}
    assert answer.provenance.checkpoint == Checkpoint.verify(checkpoints_dir() / "radar-transform")


def test_synthesis_is_exact_in_any_order(codec: TransformCodec) -> None:
    """Float64, another batch, another memory layout and several threads give the very same numbers."""
    import torch

    from sciai.radar.model.transform_grid import LATENT_MAX

    synthesis = codec._net._synthesis
    rng = np.random.default_rng(0)
    latents = torch.from_numpy(rng.integers(-LATENT_MAX, LATENT_MAX + 1, (5, 6, 6, 8)).astype(np.float32))
    valid = torch.from_numpy((rng.random((5, 1, 48, 64)) < 0.7).astype(np.float32))
    kind = torch.from_numpy(rng.integers(0, len(CLASSES), 5))
    threads = torch.get_num_threads()
    with torch.inference_mode():
        wanted = synthesis(latents, valid, kind, True)
        alone = [synthesis(latents[i : i + 1], valid[i : i + 1], kind[i : i + 1], True) for i in range(5)]
        layout = synthesis(latents.contiguous(memory_format=torch.channels_last), valid, kind, True)
        torch.set_num_threads(2 if threads == 1 else 1)
        others = synthesis(latents, valid, kind, True)
        torch.set_num_threads(threads)
        wide = synthesis.double()(latents.double(), valid.double(), kind, True)
        synthesis.float()
    for part in range(2):
        assert torch.equal(torch.cat([a[part] for a in alone]), wanted[part])
        assert torch.equal(layout[part], wanted[part])
        assert torch.equal(others[part], wanted[part])
        assert torch.equal(wide[part].float(), wanted[part])
    assert float(wanted[0].std()) > 0  # a constant would be equal too


@pytest.mark.parametrize("shape", [(48, 64), (37, 51), (7, 9)])
@pytest.mark.parametrize("full", [True, False])
def test_estimates_come_from_the_same_networks(
    codec: TransformCodec, shape: tuple[int, int], full: bool
) -> None:
    """Numpy's synthesis gives torch's numbers exactly, its analysis the same latents but for rounding."""
    values, validity = storm(*shape, seed=4)
    valid, image = validity == 0, np.where(validity == 0, values / 4, 0).astype(np.float32)
    for kind in (0, 5):
        latents = codec._net.analyse(image, valid, kind, full)
        found = codec._estimator.analyse(image, valid, kind, full)
        assert found.shape == latents.shape
        assert np.mean(found != latents) < 0.01
        assert np.abs(found - latents).max() <= 1
        assert np.abs(latents).max() > 0
        for given in (latents, None):
            wanted = codec._net.synthesise(given, valid, kind, full)
            assert all(map(np.array_equal, codec._estimator.synthesise(given, valid, kind, full), wanted))


@pytest.mark.parametrize("noise", [0.1, 3.0])
def test_an_estimate_is_what_coding_takes(codec: TransformCodec, noise: float) -> None:
    sweeps = [storm(72, 120, seed, noise) for seed in range(3)]
    how: dict[str, Any] = {"psnr": 35.0, "max_error": None, "peak": 70.0, "period": None}
    spec = codec.plan("DBZH", sweeps, **how)
    taken = sum(8 * len(codec.encode_values("DBZH", *s, spec, Alone(s[0].shape))[0]) for s in sweeps)
    bits = codec.expected_bits("DBZH", sweeps, **how)
    assert abs(bits / taken - 1) < 0.03
    assert codec.expected_bits("DBZH", sweeps, **how, threads=2) == bits


def test_weights_that_could_round_are_refused(trained: Any) -> None:
    import copy

    import torch

    from sciai.radar.train import transform

    net = copy.deepcopy(trained[0])
    with torch.no_grad():
        net.synthesis.up[0].weight.fill_(1.0)
        net.synthesis.up[0].bias.fill_(200.0)
    with pytest.raises(CheckpointError, match="layer 1"):
        transform.export(net)


def test_a_machine_that_computes_differently_is_refused(trained: Any) -> None:
    from sciai.radar.train import transform

    arrays = transform.export(trained[0])
    arrays["known_answer"] = arrays["known_answer"] + np.eye(16, 24, dtype=np.int32)
    with pytest.raises(CheckpointError, match="differently"):
        _ = TransformCodec(arrays)._net


def test_a_cut_payload_is_named(codec: TransformCodec) -> None:
    values, validity = storm(24, 40, 2)
    spec = codec.plan("DBZH", [(values, validity)], psnr=35.0, peak=70.0, period=None)
    ctx: Any = Alone(validity.shape)
    with pytest.raises(DamagedStore, match="cut"):
        codec.decode_indices("DBZH", b"\1\2", validity, spec, ctx)


_FEW = """
import numpy as np
from sciai.radar.model.transform_tables import geometric_tables

tables, rng = geometric_tables(), np.random.default_rng(0)
for _ in range(3000):
    rows = rng.integers(0, len(tables.length), rng.integers(1, 3)).astype(np.int32)
    symbols = (tables.offset[rows] + rng.integers(0, tables.length[rows] - 1)).astype(np.int32)
    assert np.array_equal(tables.decode(tables.encode(symbols, rows), rows), symbols)
"""


def test_one_valid_gate_does_not_end_the_process() -> None:
    """compressai wrote beyond its memory for planes of one or two gates."""
    ended = subprocess.run([sys.executable, "-c", _FEW], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-500:]


def test_few_symbols_give_the_bytes_that_many_would() -> None:
    tables, rng = geometric_tables(), np.random.default_rng(1)
    for _ in range(200):
        rows = rng.integers(0, len(tables.length), rng.integers(3, 30)).astype(np.int32)
        at = rng.integers(0, tables.length[rows] - 2)
        symbols = (tables.offset[rows] + at).astype(np.int32)
        assert tables._encode_few(at, rows) == tables.encode(symbols, rows)


def test_names_find_their_class() -> None:
    assert [CLASSES[variable_class(n)] for n in ("TH", "DBZH_CLEAN", "UPHIDP", "VRADDH", "SQIH")] == [
        "reflectivity",
        "reflectivity",
        "phidp",
        "velocity",
        "other",
    ]


def test_importing_the_codec_loads_neither_torch_nor_compressai() -> None:
    script = (
        "import sys, sciai.radar.model.transform, sciai.radar.train\n"
        "print([m for m in ('torch', 'compressai', 'pytorch_lightning') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_stand_in_for_torchvision_is_gone_after_the_import() -> None:
    script = (
        "import sys, importlib.util\n"
        "from sciai.radar.model.compressai_shim import load_compressai\n"
        "load_compressai()\n"
        "print('torchvision' in sys.modules, importlib.util.find_spec('torchvision') is None)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"
