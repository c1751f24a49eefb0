"""Writes tiny NEXRAD Level II volumes byte by byte (ICD 2620002 and 2620010), for tests only."""

from __future__ import annotations

import bz2
import struct

import numpy as np


def header(site=b"KTST", version=b"AR2V0006.001"):
    return version + struct.pack(">ii", 18_000, 1_000) + site


def message(kind, body):
    size = (len(body) + 16) // 2
    head = struct.pack(">HBBHHIHH", size, 0, kind, 1, 18_000, 1_000, 1, 1)
    out = bytes(12) + head + body
    return out if kind == 31 else out.ljust(2432, b"\0")


def radial31(azimuth, elevation, cut, status, moments, nyquist=8.0):
    """moments: {"REF": (codes, first m, step m, scale, offset)}."""
    blocks = []
    vol = b"RVOL" + struct.pack(">HBBffhHfffffHH", 44, 1, 0, 35.25, -97.5, 370, 20, 0, 0, 0, 0, 0, 12, 0)
    rad = b"RRAD" + struct.pack(">HHffHHff", 28, 4600, 0.0, 0.0, round(nyquist * 100), 0, 0.0, 0.0)
    blocks += [vol, rad]
    for key, (codes, first, step, scale, offset) in moments.items():
        bits = 8 * codes.dtype.itemsize
        head = (
            b"D"
            + key.encode()
            + struct.pack(">IHhHHhBBff", 0, codes.size, first, step, 0, 0, 0, bits, scale, offset)
        )
        raw = codes.astype(codes.dtype.newbyteorder(">")).tobytes()
        blocks.append(head + raw + b"\0" * (len(raw) % 2))
    pointers, at = [], 32 + 4 * len(blocks)
    for b in blocks:
        pointers.append(at)
        at += len(b)
    body = b"KTST" + struct.pack(
        ">IHHfBBHBBBBfBBH",
        1_000,
        18_000,
        1,
        azimuth,
        0,
        0,
        at,
        2,
        status,
        cut,
        0,
        elevation,
        0,
        0,
        len(blocks),
    )
    body += struct.pack(f">{len(blocks)}I", *pointers) + b"".join(blocks)
    return message(31, body + b"\0" * (len(body) % 2))


def radial1(azimuth, elevation, cut, status, ref=None, vel=None, width=None, nyquist=26.0):
    """Single-polarisation message: 1-km reflectivity beside 250-m velocity and width (uint8 codes)."""
    n_z, n_v = 0 if ref is None else ref.size, 0 if vel is None else vel.size
    pointers, at, data = [], 100, b""
    for codes in (ref, vel, width):
        pointers.append(0 if codes is None else at)
        data += b"" if codes is None else codes.tobytes()
        at += 0 if codes is None else codes.size
    angle = (round(a * 32768 / 180) for a in (azimuth, elevation))
    az, el = angle
    body = struct.pack(
        ">IHHHHHHHhhHHHHHfHHHHH",
        1_000,
        18_000,
        0,
        az,
        1,
        status,
        el,
        cut,
        0,
        -375,
        1000,
        250,
        n_z,
        n_v,
        0,
        0.0,
        *pointers,
        2,
        11,
    ).ljust(60, b"\0")
    body += struct.pack(">H", round(nyquist * 100))
    return message(1, body.ljust(100, b"\0") + data)


def record(messages):
    packed = bz2.compress(b"".join(messages))
    return struct.pack(">i", len(packed)) + packed


def small_volume(rays=12, seed=0, compressed=True):
    """Two cuts: REF and PHI (40 gates), then REF (40) with VEL (30 gates).

    Returns the header, the records or messages, the azimuths, the codes of each cut, (scale, offset).
    """
    rng = np.random.default_rng(seed)
    azimuths = (np.arange(rays) * 360 / rays + 200.0) % 360
    codes = [
        {
            "REF": rng.integers(0, 200, (rays, 40)).astype(np.uint8),
            "PHI": rng.integers(0, 1024, (rays, 40)).astype(np.uint16),
        },
        {
            "REF": rng.integers(0, 200, (rays, 40)).astype(np.uint8),
            "VEL": rng.integers(0, 255, (rays, 30)).astype(np.uint8),
        },
    ]
    packing = {"REF": (2.0, 66.0), "PHI": (2.8361, 2.0), "VEL": (2.0, 129.0)}
    messages = []
    for cut, moments in enumerate(codes):
        for r in range(rays):
            status = 3 if cut == r == 0 else 0 if r == 0 else 1
            one = {k: (c[r], 2125, 250, *packing[k]) for k, c in moments.items()}
            messages.append(radial31(azimuths[r], 0.5 + cut, cut + 1, status, one))
    if compressed:
        parts = [record(messages[i : i + 8]) for i in range(0, len(messages), 8)]
        return header(), parts, azimuths, codes, packing
    return header(), messages, azimuths, codes, packing
