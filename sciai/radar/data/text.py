"""Text of radar files, which is not always the UTF-8 (or ASCII) that it should be."""

from __future__ import annotations

from typing import Final

__all__ = ["unicode_of"]

_ESCAPED: Final = {0xDC00 + byte: chr(byte) for byte in range(0x80, 0x100)}
"""Lone surrogates that stand for a byte (PEP 383, as h5py reads text) -> what that byte is in Latin-1."""


def unicode_of(text: str | bytes) -> str:
    """Text that can be written as UTF-8; bytes in it that are not UTF-8 are taken for Latin-1.

    Example:
        >>> unicode_of(b"Al\\xe9ria"), unicode_of("Al\\udce9ria"), unicode_of("Z\\u00fcrich".encode())
        ('Aléria', 'Aléria', 'Zürich')
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return text if text.isascii() else text.translate(_ESCAPED).encode("utf-8", "replace").decode()
