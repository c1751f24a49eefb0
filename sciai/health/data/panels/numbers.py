"""Numbers as they stand in the cells of laboratory sheets."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from sciai.core.errors import BadInput

__all__ = ["Number", "is_sign", "parse_number"]

_MISSING: Final = frozenset(
    word
    for line in (
        "- -- --- ー — * ** *** / nan na n/a none null . …",
        "未検査 未実施 未測定 検査中 測定不能 判定不能 なし 無し 欠測 溶血",
        "notapplicable notcalculated notreported testnotperformed tnp qns seenote seecomment 検体不良 保留",
        "検査せず 測定せず 実施せず 該当なし 該当せず 測定中 結果待ち 報告待ち 判定保留 再検 再検査",
        "検査中止 中止 取消 検体なし 検体量不足 凝固 乳び 乳糜 ― – — −",
        "pending notdone nottested notmeasured cancelled hemolyzed",
    )
    for word in line.split(" ")
) | {""}
_FLAGS: Final = frozenset(
    word
    for line in ("h l hh ll high low a n b h* l* (h) (l)", "↑ ↓ ▲ ▼ △ ▽ ★ ☆ * ! + 高 低 正常 異常")
    for word in line.split(" ")
)
_PLUSES: Final = re.compile(r"\(?\d\(?\+{1,4}\)*|\(?\+\d\)?")  # of a dipstick; "12+" is a number with a flag
_SIGN: Final = re.compile(
    rf"\(?[-+±]{{1,3}}\)?|\(?\+{{1,4}}\)?|{_PLUSES.pattern}|陰性|陽性|negative|positive|neg|pos|trace|normal|正常"
)
_NUMBER: Final = re.compile(
    r"(?P<sign>[<>≦≧≤≥]=?)?\s*"
    r"(?P<number>[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?(?:e[+-]?\d+)?|[+-]?\.\d+)"
    r"\s*(?P<after>未満|以下|以上|超)?(?P<rest>.*)",
    re.IGNORECASE,
)
# "152 mg/dL (calc)": how a value was come by is no unit
_HOW: Final = re.compile(
    r"\s*[(\[](calc(ulated|\.)?|direct|est(imated|\.)?|計算値?|計算法|直接法|推算値?)[)\]]$", re.I
)


@dataclass(frozen=True)
class Number:
    """A number as it stands in a cell.

    Attributes:
        value: the number; for a bound (see ``sign``) the bound itself.
        sign: "", "<" or ">" where the laboratory gives only a bound.
        unit: unit written behind it, as written; "" for none.
        flag: "H" or "L" where the laboratory marked it; "" for none.
    """

    value: float
    sign: str = ""
    unit: str = ""
    flag: str = ""


def is_sign(text: str) -> bool:
    """Whether a result is a sign or word of a test that has no number: "(-)", "1+", "negative".

    >>> is_sign("(±)"), is_sign("(2+)"), is_sign("Negative"), is_sign("5.1")
    (True, True, True, False)
    """
    return _SIGN.fullmatch(unicodedata.normalize("NFKC", text).strip().casefold()) is not None


def parse_number(text: str | float | int) -> Number | None:
    """Read a cell: full-width digits, thousands separators, bounds, flags, a unit behind the number.

    Args:
        text: the cell.

    Returns:
        None for an empty cell and for words that say that nothing was measured ("-", "未実施", "N/A").

    Raises:
        BadInput: for any other text that does not begin with a number.

    >>> parse_number("１２.４ mg/dL"), parse_number("H 8,200"), parse_number("0.3未満").sign
    (Number(value=12.4, sign='', unit='mg/dL', flag=''),
     Number(value=8200.0, sign='', unit='', flag='H'), '<')
    """
    if not isinstance(text, str):
        value = float(text)
        return None if math.isnan(value) else Number(value)
    plain = unicodedata.normalize("NFKC", text).strip()
    words = re.sub(r"\s", "", plain).casefold()
    if words in _MISSING or words.strip("()[]【】") in _MISSING:
        return None
    if _PLUSES.fullmatch(plain):
        raise BadInput(f"{text!r} is a sign, not a number", fix="give a number, or leave it empty")
    plain = re.sub(r"([<>])\s*or\s*=", r"\1=", plain, flags=re.IGNORECASE)  # as Quest prints it
    flag = ""
    before = re.match(r"(?P<flag>\(?(?:HH|LL|H|L)\)?|\*+|[↑↓▲▼△▽★☆])\s*(?=[\d<>.+-])", plain, re.IGNORECASE)
    if before:
        flag, plain = before["flag"], plain[before.end() :]
    match = _NUMBER.fullmatch(plain)
    if match is None:
        raise BadInput(
            f"{text!r} is not a number", fix="give a number, or leave it empty if nothing was measured"
        )
    rest = _HOW.sub("", match["rest"].strip())
    for mark in (rest, rest.strip("()[] ")):
        if mark and mark.casefold() in _FLAGS:
            flag, rest = mark, ""
            break
    behind = re.fullmatch(r"(?P<unit>.*?\S)\s+[(\[]?(?P<flag>HH|LL|H|L|[*↑↓▲▼△▽★☆])[)\]]?", rest)
    if behind:
        flag, rest = behind["flag"], behind["unit"]
    if re.match(r"[-~〜/:]\s*\d", rest) or rest.startswith(",") or re.match(r"\.\d", rest):
        raise BadInput(f"{text!r} is not one number", fix="give one value, with a point before the decimals")
    sign = {"<": "<", "≦": "<", "≤": "<", ">": ">", "≧": ">", "≥": ">"}.get((match["sign"] or " ")[0], "")
    sign = {"未満": "<", "以下": "<", "以上": ">", "超": ">"}.get(match["after"] or "", sign)
    mark = {**dict.fromkeys("H↑▲△高", "H"), **dict.fromkeys("L↓▼▽低", "L")}.get(
        flag.strip("()").upper()[:1], ""
    )
    return Number(float(match["number"].replace(",", "")), sign, rest, mark)
