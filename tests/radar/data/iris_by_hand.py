"""An independent reading of IRIS RAW sweeps, straight from the manual (M211318EN 4.5.4), for tests only."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

RECORD = 6144


def read(path):
    """[{type number: (ray headers int [rays, 6], codes uint16 [rays, words])}] for every sweep."""
    data = Path(path).read_bytes()
    by_sweep: dict[int, list[int]] = {}
    for at in range(2 * RECORD, len(data) - RECORD + 1, RECORD):
        number = struct.unpack_from("<h", data, at + 2)[0]
        by_sweep.setdefault(number, []).append(at)
    sweeps = []
    for _, records in sorted(by_sweep.items()):
        body = bytearray()
        first = records[0]
        types, rays = [], 0
        at = first + 12
        # ingest data headers (76 bytes, structure id 24), one for each data type
        while struct.unpack_from("<h", data, at)[0] == 24:
            types.append(struct.unpack_from("<h", data, at + 38)[0])
            rays = max(rays, struct.unpack_from("<h", data, at + 30)[0])
            at += 76
        body += data[at : first + RECORD]
        for r in records[1:]:
            body += data[r + 12 : r + RECORD]
        words = np.frombuffer(bytes(body[: len(body) // 2 * 2]), "<u2")
        found = {t: ([], []) for t in types}
        i = 0
        for n in range(rays * len(types)):
            row = []
            while words[i] != 1:
                code = int(words[i])
                i += 1
                if code & 0x8000:
                    row.append(words[i : i + (code & 0x7FFF)])
                    i += code & 0x7FFF
                else:
                    row.append(np.zeros(code, np.uint16))
            i += 1
            if row:
                ray = np.concatenate(row)
                heads, codes = found[types[n % len(types)]]
                heads.append(ray[:6].astype(int))
                codes.append(ray[6:])
        sweeps.append(
            {
                t: (
                    np.array(h),
                    np.array([np.pad(c, (0, max(map(len, cs)) - len(c))) for c in cs]),
                )
                for t, (h, cs) in found.items()
            }
        )
    return sweeps


def middle(heads, ray):
    """Beam angle in degrees from the start and end binary angles of the ray headers."""
    start, end = (heads[:, 0], heads[:, 2]) if ray == "azimuth" else (heads[:, 1], heads[:, 3])
    if ray == "elevation":
        signed = [np.where(a > 32767, a - 65536, a) for a in (start, end)]
        return (signed[0] + signed[1]) / 2 * 360 / 65536
    wrapped = np.where(end < start - 32768, end + 65536, end)
    return (start + wrapped) / 2 * 360 / 65536 % 360
