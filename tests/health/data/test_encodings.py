"""Encodings of sheets and tables: what is written in one is read in it, and said where it was assumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciai.health.data.encodings import encoding_of, encoding_of_file, said_of
from sciai.health.data.panels import read_panels

JAPANESE = "検査項目,結果,単位\nLDLコレステロール,140,mg/dL\nγ-GTP,30,U/L\n尿酸,5.4,mg/dL\nコメント,食後,\n"
GERMAN = "Analyse;Wert;Einheit\nCréatinine;;\nCreatinine;88;µmol/l\nHämoglobin;13,5;g/dl\nLDL-C;140;mg/dl\n"
FRENCH = "test,value,unit\nCréatinine,88,µmol/L\nLDL,140,mg/dL\n"
SHORT = "test,value,unit\nCreatinine,88,µmol/L\nLDL,140,mg/dL\n"


@pytest.mark.parametrize(
    "text", [JAPANESE, "尿酸,5.4\n", "ﾍﾓｸﾞﾛﾋﾞﾝ,13.5\nｸﾚｱﾁﾆﾝ,0.9\n", "γ-GTP,30\n赤血球数,548,万/μL\n"]
)
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp932", "euc_jp", "iso2022_jp"]
)
def test_japanese_text(text: str, encoding: str) -> None:
    if encoding == "iso2022_jp" and "ﾍ" in text:
        pytest.skip("it has no half-width letters")
    data = text.encode(encoding)
    if encoding.startswith("utf-16-") and data.count(0) == 0:
        pytest.skip("no ASCII to know it by")
    found = encoding_of(data)
    assert found is not None
    assert data.decode(found) == text


@pytest.mark.parametrize(
    "text", [GERMAN, FRENCH, SHORT, "Größe;178\nGewicht;80\n", "taille (cm);1,78\nâge;50\n"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1"])
def test_western_text(text: str, encoding: str) -> None:
    data = text.encode(encoding)
    found = encoding_of(data)
    assert found is not None
    assert data.decode(found) == text


@pytest.mark.parametrize("data", [b"\xff\xfe\x81", b"\x00\x01\x02\x03\x04", b"a,b\n\x81\x01,\xff\n"])
def test_what_is_no_text(data: bytes) -> None:
    assert encoding_of(data) is None


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        (JAPANESE, "utf-8", ""),
        (JAPANESE, "utf-8-sig", ""),
        (JAPANESE, "utf-16", "UTF-16"),
        (JAPANESE, "cp932", "Shift_JIS"),
        (JAPANESE, "euc_jp", "EUC-JP"),
        (GERMAN, "cp1252", "Latin-1 (Windows-1252)"),
    ],
)
def test_a_sheet_says_what_was_assumed(tmp_path: Path, text: str, encoding: str, name: str) -> None:
    path = tmp_path / "sheet.csv"
    path.write_bytes(text.encode(encoding))
    panel = read_panels(path)[0]
    assert panel.values["ldl"] == 140
    said = [f.message for f in panel.findings if f.check == "encoding"]
    assert said == (
        [f"the file is not UTF-8; read as {name}. If letters look wrong, save it as UTF-8"] if name else []
    )
    if text is GERMAN:
        assert panel.values["creatinine"] == pytest.approx(88 / 88.42, rel=1e-3)  # the micro sign is read


def test_of_a_long_file_only_telling_lines_are_judged(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_bytes(b"age,sex\n" + b"50,male\n" * 100_000 + "51,女性\n".encode("euc_jp"))
    assert encoding_of_file(path) == "euc_jp"
    path.write_bytes(b"age,sex\n50,male\n")
    assert encoding_of_file(path) == "utf-8-sig"
    assert said_of("utf-8-sig") is None
