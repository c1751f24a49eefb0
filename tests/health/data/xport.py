"""A writer of SAS transport files (version 5), enough to stand in for the CDC in a test.

Layout: SAS technical note TS-140.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence

_TEXT = 80  # wider than a card: in narrower records pandas takes trailing blanks of a text for padding


def ibm_float(value: float | None) -> bytes:
    """A number in IBM System/360 floating point, eight bytes; None is the missing value."""
    if value is None or math.isnan(value):
        return b"\x2e" + bytes(7)
    if value == 0:
        return bytes(8)
    mantissa, exponent = math.frexp(abs(value))
    # base 16: the exponent counts nibbles, the fraction has 56 bits
    nibbles = math.ceil(exponent / 4)
    fraction = int(mantissa * 2.0 ** (56 - (4 * nibbles - exponent)))
    sign = 0x80 if value < 0 else 0
    return bytes([sign | (nibbles + 64)]) + fraction.to_bytes(7, "big")


def write_xpt(columns: Mapping[str, Sequence[float | str | None]]) -> bytes:
    """A transport file with one member."""
    names = list(columns)
    widths = [_TEXT if any(isinstance(v, str) for v in columns[name]) else 8 for name in names]
    day = b"01JAN20:00:00:00"
    head = b"HEADER RECORD*******%-8sHEADER RECORD!!!!!!!%-30s  "
    zeros = b"0" * 30
    out = head % (b"LIBRARY", zeros)
    out += b"SAS     SAS     SASLIB  9.4     " + b"LINUX   " + b" " * 24 + day + day + b" " * 64
    out += head % (b"MEMBER", b"000000000000000001600000000140")
    out += head % (b"DSCRPTR", zeros)
    out += b"SAS     TEST    SASDATA 9.4     " + b"LINUX   " + b" " * 24 + day
    out += day + b" " * 16 + b" " * 40 + b" " * 8
    out += head % (b"NAMESTR", b"000000%04d00000000000000000000" % len(names))
    names_block = b""
    position = 0
    for number, (name, width) in enumerate(zip(names, widths, strict=True), 1):
        kind = 2 if width == _TEXT else 1
        names_block += struct.pack(">hhhh8s48s", kind, 0, width, number, name.encode().ljust(8), b" " * 48)
        names_block += struct.pack(">hhh2s8shhl52s", 0, 0, 0, b"  ", b" " * 8, 0, 0, position, bytes(52))
        position += width
    out += _padded(names_block)
    out += head % (b"OBS", zeros)
    rows = b""
    for row in zip(*columns.values(), strict=True):
        for value, width in zip(row, widths, strict=True):
            number = value if isinstance(value, float) else None
            rows += str(value or "").encode().ljust(width) if width == _TEXT else ibm_float(number)
    return out + _padded(rows)


def _padded(data: bytes) -> bytes:
    return data + b" " * (-len(data) % 80)
