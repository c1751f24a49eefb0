"""In which encoding a text file is written: what Excel writes in Japan and in the West."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sciai.core.answer import Finding, Level

__all__ = ["encoding_of", "encoding_of_file", "said_of"]

_NAMES: Final = {
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 without a mark",
    "utf-16-be": "UTF-16 without a mark",
    "iso2022_jp": "JIS (ISO-2022-JP)",
    "cp932": "Shift_JIS",
    "euc_jp": "EUC-JP",
    "cp1252": "Latin-1 (Windows-1252)",
}
_BYTES: Final = ("cp932", "euc_jp", "cp1252")  # Windows-1252 holds all letters of Latin-1
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_SAMPLE: Final = 1 << 16  # bytes of lines with other than ASCII that are looked at


def encoding_of(data: bytes) -> str | None:
    """The encoding of a text, by its mark, by what can be read at all, and else by what is likelier.

    Several of Shift_JIS, EUC-JP and Windows-1252 often fit the same bytes; charset-normalizer then says which
    of the texts looks like one.

    Args:
        data: the file, or whole lines of it.

    Returns:
        Name of a codec of Python's; None where no text comes out.

    >>> [encoding_of("Kreatinin;88;µmol/l".encode(code)) for code in ("utf-8", "cp1252")]
    ['utf-8-sig', 'cp1252']
    >>> encoding_of("γ-GTP,30".encode("euc_jp"))
    'euc_jp'
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16" if _reads(data, "utf-16") else None
    if b"\0" in data:  # the upper halves of the ASCII in a text of two bytes a letter
        wide = "utf-16-le" if data[1::2].count(0) > data[::2].count(0) else "utf-16-be"
        # anything may be read as some letters of two bytes; a table has something between its cells
        return wide if _reads(data, wide) and re.search("[,;\t\n]", data.decode(wide)) else None
    if b"\x1b$" in data:
        return "iso2022_jp" if _reads(data, "iso2022_jp") else None
    if _reads(data, "utf-8-sig"):
        return "utf-8-sig"
    sample = _telling(data)
    able = [name for name in _BYTES if _reads(data, name)]
    if re.search(b"[\xe0-\xff]", sample) and not re.search(b"[\x81-\x9f]", sample):
        # small letters with accents; Japanese has kana and common kanji beside the rare ones that these begin
        able = [name for name in able if name != "cp932"]
    if len(able) < 2:
        return able[0] if able else None
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=able, preemptive_behaviour=False).best()
    return able[0] if best is None or best.encoding not in able else best.encoding


def encoding_of_file(path: Path) -> str | None:
    """The same of a large file, of which only lines with other than ASCII are judged, in bounded memory."""
    with open(path, "rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16"
        file.seek(0)
        kept, size = [], 0
        for line in file:
            if not line.isascii() or b"\0" in line or b"\x1b$" in line:
                kept.append(line)
                size += len(line)
                if size > _SAMPLE:
                    break
    return encoding_of(b"".join(kept))


def said_of(encoding: str) -> Finding | None:
    """What a reader should know of an encoding that was assumed; nothing of UTF-8.

    >>> said_of("cp1252").message
    'the file is not UTF-8; read as Latin-1 (Windows-1252). If letters look wrong, save it as UTF-8'
    """
    if encoding.startswith("utf-8"):
        return None
    said = f"the file is not UTF-8; read as {_NAMES[encoding]}. If letters look wrong, save it as UTF-8"
    return Finding("encoding", Level.OK, said)


def _telling(data: bytes) -> bytes:
    """Lines that hold other than ASCII, so many as are looked at."""
    kept, size = [], 0
    for line in data.splitlines(keepends=True):
        if not line.isascii():
            kept.append(line)
            size += len(line)
            if size > _SAMPLE:
                break
    return b"".join(kept)


def _reads(data: bytes, encoding: str) -> bool:
    try:
        return _CONTROL.search(data.decode(encoding)) is None
    except UnicodeDecodeError:
        return False
