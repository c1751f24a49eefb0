"""The cells of a table in a file: encodings, delimiters, and the ways people write a cell."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from pathlib import Path
from typing import Final

from sciai.core.answer import Finding
from sciai.core.errors import BadInput
from sciai.health.data.encodings import encoding_of, said_of

__all__ = ["Rows", "decode", "read_bytes", "rows_of_text"]

Rows = list[list[str]]
_COMMA: Final = re.compile(r"[<>]?(\d+,\d{1,2}|0,\d+)(?!\d)")  # 13,5 and 0,912: no thousands are written so


def decode(data: bytes, file: object) -> tuple[str, Finding | None]:
    """Text of a file, and what to say of its encoding where that is not UTF-8.

    Raises:
        BadInput: an empty file, a spreadsheet or PDF, or bytes that are no text.

    >>> decode("血糖,99".encode("cp932"), "a.csv")[0]
    '血糖,99'
    """
    if not data.strip():
        raise BadInput("the file is empty", file=file, fix="give a CSV of tests and values, or a FHIR bundle")
    if data[:4] == b"PK\x03\x04" or data[:5] == b"%PDF-" or data[:4] == b"\xd0\xcf\x11\xe0":
        kind = "a PDF" if data[:1] == b"%" else "a spreadsheet file"
        raise BadInput(f"this is {kind}, not text", file=file, fix="save or copy the table as CSV")
    encoding = encoding_of(data)
    if encoding is None:
        fix = "save it as CSV in UTF-8 (Excel: 'CSV UTF-8')"
        raise BadInput("the text is in none of the encodings that are known", file=file, fix=fix)
    return data.decode(encoding), said_of(encoding)


def rows_of_text(text: str) -> tuple[Rows, list[int]]:
    """Cells of a CSV, without comment lines (``#``) and empty lines, and the line number of each row.

    Raises:
        BadInput: quotes that never end.

    >>> rows_of_text("# mine\\nLDL;140\\n\\nHb;13,5")
    ([['LDL', '140'], ['Hb', '13.5']], [2, 4])
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # \r alone: Excel's "CSV (Macintosh)"
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    head = lines[:40]
    delimiter = max(",\t;", key=lambda mark: sum(line.count(mark) for line in head))
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    rows: Rows = []
    numbers: list[int] = []
    try:
        for row in reader:
            cells = [unicodedata.normalize("NFKC", cell).strip() for cell in row]
            if any(cells) and not cells[0].startswith("#"):
                rows.append(cells)
                numbers.append(reader.line_num)
    except csv.Error as error:
        problem, where = f"cannot be read as CSV: {error}", f"row {reader.line_num}"
        raise BadInput(problem, field=where, fix="look for a quote that never ends") from None
    if delimiter != "," and any(_COMMA.match(cell) for row in rows for cell in row):
        # a comma before the decimals, as Excel writes it in much of Europe
        rows = [
            [re.sub(r"(\d),(?=\d)", r"\1.", c) if c[:1] in "<>0123456789" else c for c in r] for r in rows
        ]
    return rows, numbers


def read_bytes(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        BadInput: where it does not exist or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadInput("there is no such file", file=path, fix="check the path") from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=path) from error
