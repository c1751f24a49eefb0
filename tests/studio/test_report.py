"""The report is one file that needs nothing else, and text cannot break out of it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.studio.report import Picture, Report, Section, Table, Tile, render, write

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080600000"
    "01f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith("data:")]


def report() -> Report:
    section = Section(
        title="radar <i>",
        lead="A & B",
        level=Level.CAUTION,
        findings=(Finding("noise", Level.CAUTION, "noise dominates <b>", "sweep 0"),),
        tiles=(Tile("0.31", "bits per value", "masks included"),),
        tables=(Table("Variables", ["name", "PSNR"], [["DBZH", "35.1"], ["<script>", "1"]], "a note"),),
        pictures=(Picture(PIXEL, "a picture"),),
        limits=("It cannot do that.",),
        commands=("sciai radar compress a b.zarr",),
        banner="SYNTHETIC",
    )
    return Report("A title", "made today", (section,))


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = _Links()
    page.feed(render(report()))
    assert page.outside == []
    assert "script" not in page.tags
    assert page.tags.count("img") == 1


def test_text_is_escaped() -> None:
    text = render(report())
    assert "radar &lt;i&gt;" in text
    assert "noise dominates &lt;b&gt;" in text
    assert "<td>&lt;script&gt;</td>" in text


def test_verdict_findings_limits_and_banner_are_there() -> None:
    text = render(report())
    for words in (
        "CAUTION",
        "SYNTHETIC",
        "It cannot do that.",
        "sciai radar compress",
        "bits per value",
        "a note",
    ):
        assert words in text


def test_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write(report(), tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    (tmp_path / "taken").mkdir()
    with pytest.raises(BadInput, match="could not be written"):
        write(report(), tmp_path / "taken")
    assert not list(tmp_path.rglob("*.partial"))
