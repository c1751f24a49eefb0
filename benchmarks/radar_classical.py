"""Classical codecs with one knob each, and the search that turns the knob until a PSNR is reached.

Every codec gets one variable of one volume as a list of sweeps. Its bits are those of the valid gates'
values; the mask is known to the decoder and is not counted (`radar_peers` measures masks). PSNR and largest
error are over valid gates only. Invalid gates are filled to suit the codec: smoothly for those that
transform, with the last valid value of the ray for those that predict along it.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.radar_peers import fill_along_ray, jxl, quantise, unjxl

F32 = np.ndarray[Any, np.dtype[np.float32]]
Planes = Sequence[tuple[F32, np.ndarray[Any, np.dtype[np.uint8]]]]


@dataclass(frozen=True)
class Coded:
    """What a codec made of a variable.

    Attributes:
        bytes: of all sweeps.
        decoded: one array per sweep.
        encode_s: seconds.
        decode_s: seconds.
    """

    bytes: int
    decoded: list[np.ndarray[Any, Any]]
    encode_s: float
    decode_s: float


@dataclass(frozen=True)
class Classical:
    """A codec with a knob: ``code(planes, peak, knob)``; a larger knob means fewer bits.

    Attributes:
        name: as tables show it.
        code: codes the sweeps of a variable.
        knob: (lowest, highest) of the search, relative to the peak.
        needs: distribution it comes from.
    """

    name: str
    code: Callable[[Planes, float, float], Coded]
    knob: tuple[float, float]
    needs: str


def measure(planes: Planes, decoded: Sequence[np.ndarray[Any, Any]], peak: float) -> tuple[float, float]:
    """PSNR in dB and largest error over valid gates."""
    squared, count, largest = 0.0, 0, 0.0
    for (values, validity), back in zip(planes, decoded, strict=True):
        error = np.abs(back.astype(np.float64) - values)[validity == 0]
        if error.size:
            squared, count, largest = (
                squared + float((error**2).sum()),
                count + error.size,
                max(largest, error.max()),
            )
    psnr = 10 * np.log10(peak**2 * count / squared) if squared > 0 else float("inf")
    return float(psnr), float(largest)


def reach(
    codec: Classical, planes: Planes, peak: float, psnr: float, tries: int = 9
) -> dict[str, float] | None:
    """Fewest bits at which a codec reaches a PSNR, by bisection on its knob.

    Args:
        codec: of `codecs`.
        planes: the sweeps of a variable.
        peak: of the PSNR, in the variable's unit.
        psnr: in dB.
        tries: codings at most.

    Returns:
        bits per gate-value over all gates, the PSNR and the largest error reached, MB/s (float32) of coding
        and decoding; None where the codec cannot.
    """
    low, high = (float(np.log(k)) for k in codec.knob)
    gates = sum(v.size for v, _ in planes)
    best: dict[str, float] | None = None
    for _ in range(tries):
        middle = 0.5 * (low + high)
        coded = codec.code(planes, peak, float(np.exp(middle)))
        reached, largest = measure(planes, coded.decoded, peak)
        if reached >= psnr:
            low = middle
            if best is None or coded.bytes * 8 / gates <= best["bits"]:
                best = {
                    "bits": coded.bytes * 8 / gates,
                    "psnr": reached,
                    "max_error": largest,
                    "encode_mbs": 4e-6 * gates / max(coded.encode_s, 1e-9),
                    "decode_mbs": 4e-6 * gates / max(coded.decode_s, 1e-9),
                }
        else:
            high = middle
    return best


def filled_smoothly(values: F32, validity: np.ndarray[Any, Any]) -> F32:
    """Valid values, and smooth ones elsewhere."""
    import torch

    from sciai.radar.model.transform_net import smooth_fill

    valid = validity == 0
    image = torch.from_numpy(np.where(valid, values, 0).astype(np.float32))[None, None]
    mask = torch.from_numpy(valid.astype(np.float32))[None, None]
    return np.ascontiguousarray(smooth_fill(image, mask)[0, 0].numpy())


def _each(
    planes: Planes,
    prepare: Callable[[F32, Any], Any],
    encode: Callable[[Any], Any],
    decode: Callable[[Any, Any], np.ndarray[Any, Any]],
    size: Callable[[Any], int] = len,
) -> Coded:
    """Code sweep after sweep; filling and quantising beforehand are not in the seconds."""
    total, decoded, spent, back = 0, [], 0.0, 0.0
    for values, validity in planes:
        ready = prepare(values, validity)
        start = time.perf_counter()
        data = encode(ready)
        middle = time.perf_counter()
        decoded.append(decode(data, ready))
        spent, back = spent + middle - start, back + time.perf_counter() - middle
        total += size(data)
    return Coded(total, decoded, spent, back)


# --- quantise, then lossless -------------------------------------------------------------------------------


def _lossless(encode: Callable[[Any], bytes], decode: Callable[[bytes, Any], Any]) -> Callable[..., Coded]:
    def code(planes: Planes, peak: float, knob: float) -> Coded:
        step = knob * peak

        def prepare(values: F32, validity: Any) -> Any:
            return fill_along_ray(quantise(values, validity, step), validity)

        return _each(planes, prepare, encode, lambda data, ready: decode(data, ready) * step)

    return code


def _narrow(image: Any) -> Any:
    span = int(image.max()) - int(image.min())
    return (image - image.min()).astype(np.uint8 if span <= 0xFF else np.uint16)


def _jxl(effort: int) -> Callable[..., Coded]:
    def decode(data: bytes, ready: Any) -> Any:
        low = int(ready.min())  # a few bytes of header in a real format
        return (unjxl(data).astype(np.int64) if data else np.zeros(ready.shape)) + low

    return _lossless(lambda image: jxl(image, effort), decode)


def _delta_zstd() -> Callable[..., Coded]:
    import imagecodecs

    def encode(image: Any) -> bytes:
        change = np.diff(image.astype(np.int16), axis=1, prepend=0)
        zigzag = ((change << 1) ^ (change >> 15)).astype(np.uint16)
        wide = zigzag.max() > 0xFF
        return bytes(imagecodecs.zstd_encode((zigzag if wide else zigzag.astype(np.uint8)).tobytes(), 19))

    def decode(data: bytes, ready: Any) -> Any:
        raw = imagecodecs.zstd_decode(data)
        dtype = np.uint8 if len(raw) == ready.size else np.uint16
        zigzag = np.frombuffer(raw, dtype).astype(np.int32).reshape(ready.shape)
        return np.cumsum((zigzag >> 1) ^ -(zigzag & 1), axis=1)

    return _lossless(encode, decode)


def _blosc2() -> Callable[..., Coded]:
    import imagecodecs

    def encode(image: Any) -> bytes:
        return bytes(
            imagecodecs.blosc2_encode(
                _narrow(image), 9, compressor="zstd", shuffle="bitshuffle", numthreads=1
            )
        )

    def decode(data: bytes, ready: Any) -> Any:
        narrow = _narrow(ready)
        raw = np.frombuffer(imagecodecs.blosc2_decode(data, numthreads=1), narrow.dtype)
        return raw.reshape(ready.shape).astype(np.int64) + int(ready.min())

    return _lossless(encode, decode)


# --- error-bounded codecs of simulation output, through their HDF5 filters
# -----------------------------------


def _hdf5(make: Callable[[float, float], Any]) -> Callable[..., Coded]:
    import h5py

    def code(planes: Planes, peak: float, knob: float) -> Coded:
        def encode(image: Any) -> tuple[bytes, int]:
            buffer = io.BytesIO()
            with h5py.File(buffer, "w") as file:
                data = file.create_dataset(
                    "v", data=image, chunks=image.shape, compression=make(knob * peak, peak)
                )
                file.flush()
                size = int(data.id.get_storage_size())  # the chunk alone, not HDF5's own structures
            return buffer.getvalue(), size

        def decode(data: tuple[bytes, int], ready: Any) -> Any:
            with h5py.File(io.BytesIO(data[0]), "r") as file:
                return file["v"][()]

        return _each(planes, filled_smoothly, encode, decode, size=lambda data: int(data[1]))

    return code


# --- wavelets and video
# --------------------------------------------------------------------------------------


def _scaled(planes: Planes, bits: int) -> tuple[list[np.ndarray[Any, Any]], float, float]:
    """Sweeps as integers of so many bits over the range of the variable, with offset and scale."""
    images = [filled_smoothly(v, m) for v, m in planes]
    low, high = min(float(i.min()) for i in images), max(float(i.max()) for i in images)
    scale = (high - low) / (2**bits - 1) or 1.0
    return [np.rint((i - low) / scale).astype(np.uint16) for i in images], low, scale


def _image(encode: Callable[[Any, float], bytes], decode: Callable[[bytes], Any]) -> Callable[..., Coded]:
    def code(planes: Planes, peak: float, knob: float) -> Coded:
        images, low, scale = _scaled(planes, 16)
        ready = iter(images)
        return _each(
            planes,
            lambda values, validity: next(ready),
            # the knob is a step in the variable's unit relative to the peak; codecs want it in their integers
            lambda image: encode(image, knob * peak / scale),
            lambda data, image: decode(data).astype(np.float64) * scale + low,
        )

    return code


def _htj2k() -> Callable[..., Coded]:
    import imagecodecs

    return _image(
        lambda image, step: bytes(
            imagecodecs.htj2k_encode(image, level=min(step / 65535, 0.9), reversible=False)
        ),
        lambda data: np.asarray(imagecodecs.htj2k_decode(data)),
    )


def _jpeg2000() -> Callable[..., Coded]:
    import imagecodecs

    return _image(
        # its knob is a PSNR against 65535
        lambda image, step: bytes(
            imagecodecs.jpeg2k_encode(image, level=20 * np.log10(65535 / step), numthreads=1)
        ),
        lambda data: np.asarray(imagecodecs.jpeg2k_decode(data)),
    )


def _x265() -> Callable[..., Coded]:
    import av

    av.logging.set_level(av.logging.PANIC)

    def code(planes: Planes, peak: float, knob: float) -> Coded:
        images, low, scale = _scaled(planes, 12)
        rays, gates = max(i.shape[0] for i in images), max(i.shape[1] for i in images)
        side = (rays + rays % 2, gates + gates % 2)
        frames = [np.pad(i, ((0, side[0] - i.shape[0]), (0, side[1] - i.shape[1])), "edge") for i in images]
        # HEVC: the quantiser's step doubles every 6 values; at 12 bits QP 0 is a step of 2^((0 + 24 - 4) /
        # 6) / 16
        qp = int(np.clip(round(6 * np.log2(max(knob * peak / scale, 1e-3)) + 4), 0, 51))
        start = time.perf_counter()
        encoder = av.CodecContext.create("libx265", "w")
        encoder.width, encoder.height, encoder.pix_fmt = side[1], side[0], "gray12le"
        from fractions import Fraction

        encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25, 1)
        encoder.options = {
            "preset": "slow",
            "x265-params": f"qp={qp}:pools=1:frame-threads=1:log-level=none:keyint=1000",
        }
        packets: list[Any] = []
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="gray12le")
            frame.pts = number
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
        middle = time.perf_counter()
        data = [bytes(p) for p in packets]
        decoder = av.CodecContext.create("hevc", "r")
        decoder.thread_count = 1
        out: list[Any] = []
        for packet in data:
            out += decoder.decode(av.Packet(packet))
        out += decoder.decode(None)
        ended = time.perf_counter()
        decoded = [
            f.to_ndarray(format="gray12le")[: i.shape[0], : i.shape[1]].astype(np.float64) * scale + low
            for f, i in zip(out, images, strict=True)
        ]
        return Coded(sum(map(len, data)), decoded, middle - start, ended - middle)

    return code


def codecs() -> tuple[list[Classical], dict[str, str]]:
    """Those that this installation has, and why others are missing."""
    found: list[Classical] = []
    missing: dict[str, str] = {}
    wide, fine = (2e-4, 0.9), (2e-5, 0.9)

    def add(
        name: str, make: Callable[[], Callable[..., Coded]], knob: tuple[float, float], needs: str
    ) -> None:
        try:
            found.append(Classical(name, make(), knob, needs))
        except (ImportError, AttributeError, ValueError) as error:
            missing[name] = f"not available: {error}"

    def filters(kind: str) -> Callable[[], Callable[..., Coded]]:
        def make() -> Callable[..., Coded]:
            import hdf5plugin

            cls = getattr(hdf5plugin, kind)
            # SPERR's own PSNR mode: with a bound on each error it spends bits on outliers that a PSNR does
            # not ask for
            argument = {
                "Zfp": lambda error, peak: {"accuracy": error},
                "SZ3": lambda error, peak: {"absolute": error},
                "Sperr": lambda error, peak: {
                    "peak_signal_to_noise_ratio": float(20 * np.log10(peak / error))
                },
            }[kind]
            return _hdf5(lambda error, peak: cls(**argument(error, peak)))

        return make

    def x265() -> Callable[..., Coded]:
        import av

        if "libx265" not in av.codecs_available:
            raise ImportError("this build of PyAV has no libx265")
        return _x265()

    add("quantise + JPEG XL e9", lambda: _jxl(9), wide, "imagecodecs")
    add("quantise + JPEG XL e4", lambda: _jxl(4), wide, "imagecodecs")
    add("quantise + delta + zstd-19", _delta_zstd, wide, "imagecodecs")
    add("quantise + blosc2 zstd-9", _blosc2, wide, "imagecodecs")
    add("SZ3", filters("SZ3"), wide, "hdf5plugin")
    add("ZFP", filters("Zfp"), wide, "hdf5plugin")
    add("SPERR", filters("Sperr"), wide, "hdf5plugin")
    add("HTJ2K", _htj2k, fine, "imagecodecs")
    add("JPEG 2000", _jpeg2000, fine, "imagecodecs")
    add("x265", x265, wide, "av (PyAV)")
    return found, missing
