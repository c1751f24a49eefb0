"""A report that is one HTML file: verdict, figures, findings, pictures, and what the answer cannot do.

Everything is embedded (pictures as data URIs, style inline, no script), so the file can be mailed and opened
anywhere.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WORDS = {
    Level.OK: "Bounds proven, nothing unusual",
    Level.CAUTION: "Usable, with care",
    Level.REFUSE: "Refused",
}


@dataclass(frozen=True)
class Tile:
    """One headline figure: a value, what it is, and a small note below it."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column names the row. With ``words``, the others are sentences, not figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: bool = False


@dataclass(frozen=True)
class Picture:
    """A PNG or an SVG element with its caption."""

    png: bytes
    caption: str
    svg: str = ""


@dataclass(frozen=True)
class Section:
    """What one domain did.

    Attributes:
        title: name of the domain and its job.
        lead: one or two sentences: what went in, what came out.
        level: the answer's verdict.
        findings: what the checks said.
        tiles: headline figures.
        tables: figures in full.
        pictures: in reading order.
        limits: what the answer cannot do, one sentence each.
        limits_title: heading over them.
        commands: how to do the same by hand.
        banner: a line that must not be missed, such as that the input is synthetic; empty for none.
        words: what the verdict means here; the usual words when empty.
        after: tables that belong behind the pictures.
    """

    title: str
    lead: str
    level: Level
    findings: Sequence[Finding] = ()
    tiles: Sequence[Tile] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    limits: Sequence[str] = ()
    limits_title: str = "What this answer cannot do"
    commands: Sequence[str] = ()
    banner: str = ""
    words: str = ""
    after: Sequence[Table] = ()


@dataclass(frozen=True)
class Report:
    """A title, a line of provenance, one section for each domain, and what the reader must not do with it."""

    title: str
    made: str
    sections: Sequence[Section] = field(default_factory=tuple)
    footer: str = ""


def png_of(figure: Figure, *, width: int | None = None) -> bytes:
    """A matplotlib figure as PNG bytes.

    Args:
        figure: any figure.
        width: wanted width in pixels; the figure's own when None.
    """
    import io

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi if width is None else width / figure.get_figwidth())
    return buffer.getvalue()


def render(report: Report) -> str:
    """The report as one HTML page.

    Example:
        >>> page = render(Report("A title", "made today", [Section("radar", "<lead>", Level.OK)]))
        >>> "&lt;lead&gt;" in page, "<script" in page
        (True, False)
    """
    body = "\n".join(_section(section) for section in report.sections)
    return _PAGE.format(
        title=html.escape(report.title),
        style=_style(),
        made=html.escape(report.made),
        body=body,
        footer=html.escape(report.footer or _FOOTER),
    )


def write(report: Report, path: str | Path) -> Path:
    """Write the report; the file appears whole or not at all.

    Raises:
        BadInput: where the path cannot be written.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(render(report), encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise BadInput(f"the report could not be written: {error.strerror or error}", file=target) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _style() -> str:
    return files("sciai.studio").joinpath("report.css").read_text(encoding="utf-8")


def _section(section: Section) -> str:
    verdict = section.level.name.lower()
    words = html.escape(section.words or _WORDS[section.level])
    parts = [
        f"<section><header><h2>{html.escape(section.title)}</h2>"
        f'<span class="verdict {verdict}">{verdict.upper()} · {words}</span></header>',
        f'<p class="banner">{html.escape(section.banner)}</p>' if section.banner else "",
        f'<p class="lead">{html.escape(section.lead)}</p>',
        _tiles(section.tiles),
        _findings(section.findings),
        *(_table(table) for table in section.tables),
        *(_picture(picture) for picture in section.pictures),
        *(_table(table) for table in section.after),
        _list(section.limits_title, section.limits),
        _commands(section.commands),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _tiles(tiles: Sequence[Tile]) -> str:
    cells = "".join(
        f'<div class="tile"><b>{html.escape(t.value)}</b><span>{html.escape(t.label)}</span>'
        f"<small>{html.escape(t.note)}</small></div>"
        for t in tiles
    )
    return f'<div class="tiles">{cells}</div>' if cells else ""


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return '<h3>What the checks found</h3><p class="quiet">Every check passed without a remark.</p>'
    lines = "".join(
        f'<li class="{f.level.name.lower()}"><b>{html.escape(f.check)}</b>'
        f"{f' <i>{html.escape(f.where)}</i>' if f.where else ''}<br>{html.escape(f.message)}</li>"
        for f in sorted(findings, key=lambda f: -f.level)
    )
    return f'<h3>What the checks found</h3><ul class="findings">{lines}</ul>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    note = f'<p class="quiet">{html.escape(table.note)}</p>' if table.note else ""
    kind = ' class="words"' if table.words else ""
    return (
        f'<h3>{html.escape(table.title)}</h3><div class="wide"><table{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def _picture(picture: Picture) -> str:
    caption = html.escape(picture.caption)
    if picture.svg:
        return f"<figure>{picture.svg}<figcaption>{caption}</figcaption></figure>"
    data = base64.b64encode(picture.png).decode("ascii")
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _list(title: str, sentences: Sequence[str]) -> str:
    lines = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f"<h3>{html.escape(title)}</h3><ul>{lines}</ul>" if lines else ""


def _commands(commands: Sequence[str]) -> str:
    text = html.escape("\n".join(commands))
    return f"<h3>The same by hand</h3><pre>{text}</pre>" if text else ""


_FOOTER = "Not for issuing warnings or for any decision about life and property on its own."
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><main>
<h1>{title}</h1><p class="quiet">{made}</p>
{body}
<footer>One file, no network needed. sciai: check the question, estimate, check the estimate, say how sure.
{footer}</footer>
</main></body></html>
"""
