"""Numbers with units: read as written, converted by a table, and questioned where they cannot be.

No value is ever converted without a finding that says so, and none is moved to another unit because it
"must have been meant": a number that is impossible in its unit but ordinary in another comes back with the
question "did you mean ...?" and refuses.

A table of some forty units is enough for laboratory sheets; a unit registry would take longer to import
than to answer a question.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.core.resources import data_dir
from sciai.health.data.panels.analytes import Analyte, analyte_of_column, table
from sciai.health.data.panels.numbers import Number, parse_number

__all__ = ["Quantity", "convert", "guess_unit", "is_expected", "parse_quantity", "parse_unit"]

_NEAR_ENOUGH: Final = 2.0
_FAMILY: Final = {
    "mass concentration": ("g/L", "mg/L", "g/dL", "mg/dL"),
    "number concentration": ("/uL", "10*3/uL", "10*4/uL", "10*6/uL", "10*2/uL"),
    "catalytic concentration": ("ukat/L",),
    "fraction": ("L/L",),
    "length": ("cm", "m", "[in_i]"),
    "mass": ("kg", "[lb_av]"),
    "pressure": ("kPa",),
}
"""Dimension -> units that laboratories (and people) use beside each other for it."""


@dataclass(frozen=True)
class Quantity:
    """A value in the unit of its column.

    Attributes:
        value: in ``unit``. Also there where a finding refuses; a caller must look at the findings.
        unit: UCUM unit of the analyte's column.
        findings: conversion, bounds, suspicion. REFUSE: the value cannot be used as it stands.
    """

    value: float
    unit: str
    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether no finding refuses it."""
        return all(finding.level < Level.REFUSE for finding in self.findings)


def parse_unit(text: str, analyte: Analyte | None = None) -> str:
    """The UCUM unit that a written unit means.

    Args:
        text: as written ("万/μL", "x10^3/uL", "IU/L", "mEq/L").
        analyte: decides where spelling alone does not ("G/L": grams, or 10^9 cells).

    Raises:
        BadInput: an unknown unit; it names those that are accepted.

    >>> parse_unit("万/μL"), parse_unit("×10³/µL"), parse_unit("ＩＵ/Ｌ"), parse_unit("mmHg")
    ('10*4/uL', '10*3/uL', 'U/L', 'mm[Hg]')
    """
    if text in _units():
        return text
    plain = _simplify(text)
    found = [unit for unit in _units() if unit.casefold() == plain] + list(_spellings().get(plain, ()))
    if analyte is not None:
        dimensions = set(_dimensions(analyte))
        found = [unit for unit in found if _units()[unit][0] in dimensions] or found
    if not found and "{" in plain:
        # an annotation, such as 10*3/uL{Platelets}, says what is counted and changes nothing (UCUM, 2.3)
        bare = re.sub(r"\{[^{}]*\}", "", text)
        return parse_unit(bare, analyte)
    if not found:
        known = [*_units(), *_spellings()]
        near = difflib.get_close_matches(plain, [k.casefold() for k in known], 1)
        accepted = _accepted(analyte) if analyte else ""
        fix = f"{analyte.en} is read in {accepted}" if analyte else (
            f"did you mean {near[0]}?" if near else "use a UCUM unit such as mg/dL, U/L, 10*3/uL"
        )  # fmt: skip
        raise BadInput(f"unknown unit {text!r}", field=analyte.key if analyte else None, fix=fix)
    return found[0]


def convert(value: float, unit: str, analyte: Analyte) -> float:
    """A value of a UCUM unit in the unit of the analyte's column.

    Raises:
        BadInput: where the unit measures something else.

    >>> round(convert(88.4, "umol/L", table().analytes["creatinine"]), 2)
    1.0
    >>> round(convert(42, "mmol/mol", table().analytes["hba1c"]), 1)
    6.0
    """
    if unit == analyte.unit:
        return value
    if unit in analyte.units:
        factor, offset = analyte.units[unit]
        return factor * value + offset
    dimension, size = _units()[unit]
    own_dimension, own_size = _units()[analyte.unit]
    if dimension == own_dimension:
        return value * size / own_size
    for other, (factor, offset) in analyte.units.items():
        other_dimension, other_size = _units()[other]
        if other_dimension == dimension:
            return factor * value * size / other_size + offset
    raise BadInput(
        f"{analyte.en} is not measured in {unit}, which is a {dimension}",
        field=analyte.column or analyte.key,
        unit=unit,
        fix=f"give it in {_accepted(analyte)}",
    )


def parse_quantity(text: str | float | int, of: str | Analyte, unit: str | None = None) -> Quantity | None:
    """A value in the unit of its column, with a finding for whatever was done or is suspicious.

    Args:
        text: a number, or text such as "88 umol/L", "<0.3", "5.5 %". Without a unit: the column's unit.
        of: the analyte, its key, or the name of a column of the model.
        unit: unit where the text has none; as written on the sheet or UCUM.

    Returns:
        None where the text says that nothing was measured. Checks of the findings: ``unit-conversion`` (OK),
        ``bound`` (OK), ``unit-suspicion`` (CAUTION, or REFUSE where the value is impossible),
        ``implausible`` (REFUSE).

    Raises:
        BadInput: not a number, an unknown unit, a unit of another dimension, an unknown analyte.

    >>> parse_quantity("140 mg/dL", "ldl").value
    140.0
    >>> parse_quantity("88 umol/L", "creatinine").findings[0].message
    'Creatinine: 88 umol/L converted to 0.995 mg/dL'
    >>> asked = parse_quantity("88 mg/dL", "creatinine")
    >>> asked.usable, asked.findings[0].message
    (False, 'Creatinine of 88 mg/dL is not possible (0.1 to 25); did you mean 88 umol/L, which is
     0.995 mg/dL?')
    """
    analyte = _analyte(of)
    number = parse_number(text)
    if number is None:
        return None
    written = number.unit or unit or ""
    try:
        ucum = parse_unit(written, analyte) if written else analyte.unit
    except BadInput as error:
        if not number.unit:
            raise
        problem = f"{text!r} is not a number with a unit that is known"
        raise BadInput(problem, field=analyte.key, fix=error.fix) from None
    value = convert(number.value, ucum, analyte)
    findings = list(_notes(analyte, number, ucum, value))
    if number.sign == "<":
        # below the limit of detection: the limit over the square root of two, as NHANES itself fills it in
        value /= math.sqrt(2)
    findings += _suspicions(analyte, number.value, ucum, value)
    return Quantity(value, analyte.unit, tuple(findings))


def guess_unit(
    value: float,
    analyte: Analyte,
    language: str,
    sheet_range: tuple[float | None, float | None] = (None, None),
) -> tuple[str, Finding | None]:
    """The unit that a sheet without units means: from its printed range, its language and the value's size.

    Args:
        value: the number on the sheet.
        analyte: the test.
        language: "ja" or "en".
        sheet_range: the reference range that the sheet prints; either end may be None.

    Returns:
        The unit, and a finding where it is not simply the usual one: REFUSE where two units are possible.

    >>> rbc = table().analytes["rbc"]
    >>> guess_unit(548, rbc, "ja"), guess_unit(5.48, rbc, "en")
    (('10*4/uL', None), ('10*6/uL', None))
    """
    usual = analyte.usual.get(language, analyte.unit)
    # another spelling of the same size is no other reading of the sheet
    others = [u for u in _candidates(analyte) if not _same(u, usual, analyte)]
    if any(end is not None for end in sheet_range):
        fits = [u for u in (usual, *others) if _range_fits(sheet_range, u, analyte)]
        if fits and fits[0] == usual:
            return usual, None
        if fits:
            message = f"{analyte.en}: no unit; the printed range shows that {value:g} is in {fits[0]}"
            return fits[0], Finding(
                "unit-guess", Level.CAUTION, f"{message}. Write the unit to be sure", analyte.key
            )
    if is_expected(convert(value, usual, analyte), analyte):
        return usual, None
    fits = [u for u in others if is_expected(convert(value, u, analyte), analyte)]
    possible = _possible(convert(value, usual, analyte), analyte)
    if not fits:
        return usual, None
    if possible:
        # ill people have unusual values: only what laboratories really print is another reading of them
        fits = [u for u in fits if u in _printed(analyte) and _ordinary(value, u, analyte)]
        if not fits:
            return usual, None
        message = (
            f"{analyte.en}: no unit. {value:g} {usual} would be unusual, {value:g} {fits[0]} ordinary; "
            "which is it? Write the unit beside the value"
        )
        return usual, Finding("unit-guess", Level.REFUSE, message, analyte.key)
    message = (
        f"{analyte.en}: no unit. {value:g} {usual} is not possible; read as {fits[0]}. "
        "Write the unit to be sure"
    )
    return fits[0], Finding("unit-guess", Level.CAUTION, message, analyte.key)


@functools.lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, tuple[str, float]], dict[str, tuple[str, ...]]]:
    with open(data_dir() / "health" / "units.yaml", encoding="utf-8") as file:
        raw = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    units = {
        unit: (dimension, float(size))
        for dimension, sizes in raw["dimensions"].items()
        for unit, size in sizes.items()
    }
    spellings: dict[str, tuple[str, ...]] = {}
    for unit, texts in raw["spellings"].items():
        for text in texts:
            spellings[text] = (*spellings.get(text, ()), unit)
    return units, spellings


def _units() -> dict[str, tuple[str, float]]:
    """UCUM unit -> (dimension, size in the dimension's base unit)."""
    return _tables()[0]


def _spellings() -> dict[str, tuple[str, ...]]:
    """Simplified spelling -> UCUM units that it may mean."""
    return _tables()[1]


def _notes(analyte: Analyte, number: Number, ucum: str, value: float) -> Iterator[Finding]:
    if ucum != analyte.unit and not _same(ucum, analyte.unit, analyte):
        said = f"{analyte.en}: {number.value:g} {ucum} converted to {value:.3g} {analyte.unit}"
        yield Finding("unit-conversion", Level.OK, said, analyte.key)
    if number.sign == "<":
        taken = f"{value / math.sqrt(2):.3g} {analyte.unit}"
        said = (
            f"{analyte.en}: below {number.value:g} {ucum}; taken as {taken} "
            "(the limit over the square root of two, as the survey itself does)"
        )
        yield Finding("bound", Level.OK, said, analyte.key)
    if number.sign == ">":
        taken = f"{value:.3g} {analyte.unit}"
        said = f"{analyte.en}: above {number.value:g} {ucum}; taken as {taken}, so the truth is higher"
        yield Finding("bound", Level.CAUTION, said, analyte.key)


def _suspicions(analyte: Analyte, raw: float, ucum: str, value: float) -> Iterator[Finding]:
    low, high = analyte.plausible
    where = analyte.key
    meant = [
        (unit, other)
        for unit in _candidates(analyte)
        if not _same(unit, ucum, analyte) and is_expected(other := convert(raw, unit, analyte), analyte)
    ]
    question = ""
    if meant:
        unit, other = meant[0]
        question = f"did you mean {raw:g} {unit}, which is {other:.3g} {analyte.unit}?"
    if not math.isfinite(value) or not low <= value <= high:
        shown = f"{raw:g} {ucum}" + (
            "" if _same(ucum, analyte.unit, analyte) else f" = {value:.3g} {analyte.unit}"
        )
        said = f"{analyte.en} of {shown} is not possible ({low:g} to {high:g})"
        if question:
            yield Finding("unit-suspicion", Level.REFUSE, f"{said}; {question}", where)
        else:
            yield Finding("implausible", Level.REFUSE, f"{said}; check the number and its unit", where)
    elif meant and analyte.reference and not is_expected(value, analyte, wide=5.0):
        said = f"{analyte.en} of {raw:g} {ucum} is far from usual; {question} It was used as written"
        yield Finding("unit-suspicion", Level.CAUTION, said, where)


def is_expected(value: float, analyte: Analyte, wide: float = _NEAR_ENOUGH) -> bool:
    """Whether a value is near the reference range of either sex; where there is none, merely possible.

    Args:
        value: in the analyte's own unit.
        analyte: the test.
        wide: how many times beyond the ends counts as near.
    """
    low, high = analyte.range_of()
    if low is None and high is None:
        return _possible(value, analyte)
    least = analyte.plausible[0] if low is None else low / wide
    most = analyte.plausible[1] if high is None else high * wide
    return least <= value <= most


def _possible(value: float, analyte: Analyte) -> bool:
    return analyte.plausible[0] <= value <= analyte.plausible[1]


def _range_fits(printed: tuple[float | None, float | None], unit: str, analyte: Analyte) -> bool:
    """Whether a printed range, read in a unit, is about the range that we know: within a factor of two."""
    known = analyte.range_of()
    ratios = [
        convert(there, unit, analyte) / here
        for there, here in zip(printed, known, strict=True)
        if there and here and convert(there, unit, analyte) > 0
    ]
    return bool(ratios) and all(0.5 < ratio < 2 for ratio in ratios)


def _candidates(analyte: Analyte) -> list[str]:
    """Units that the analyte is reported in somewhere: its own, its conversions, and their usual prefixes."""
    family = _FAMILY.get(_units()[analyte.unit][0], ())
    more = tuple(analyte.usual.values())
    return list(dict.fromkeys([analyte.unit, *analyte.units, *more, *family]))


def _printed(analyte: Analyte) -> set[str]:
    """Units in which laboratories print this very test."""
    own = {analyte.unit, *analyte.units, *analyte.usual.values()}
    counted = "number concentration"
    return own | set(_FAMILY[counted]) if _units()[analyte.unit][0] == counted else own


def _ordinary(value: float, unit: str, analyte: Analyte) -> bool:
    """Near the reference range; on a scale with another zero (HbA1c in mmol/mol) ratios reach too far."""
    _, offset = analyte.units.get(unit, (1.0, 0.0))
    return is_expected(convert(value, unit, analyte), analyte, 1.25 if offset else _NEAR_ENOUGH)


def _same(one: str, other: str, analyte: Analyte) -> bool:
    if one == other:
        return True
    return all(math.isclose(convert(x, one, analyte), convert(x, other, analyte)) for x in (1.0, 2.0))


def _dimensions(analyte: Analyte) -> Iterator[str]:
    yield _units()[analyte.unit][0]
    yield from (_units()[unit][0] for unit in analyte.units)


def _accepted(analyte: Analyte) -> str:
    return " or ".join(dict.fromkeys([analyte.unit, *analyte.units, *analyte.usual.values()]))


def _analyte(of: str | Analyte) -> Analyte:
    if isinstance(of, Analyte):
        return of
    found = analyte_of_column(of) or table().analytes.get(of)
    if found is None:
        near = difflib.get_close_matches(of, list(table().analytes), 1)
        raise BadInput(
            f"no test is called {of!r}",
            field=of,
            fix=f"did you mean {near[0]}?" if near else "see `sciai health columns`",
        )
    return found


def _simplify(text: str) -> str:
    """Width, case, the many micro signs, multiplication signs and powers, brackets around the whole."""
    plain = unicodedata.normalize("NFKC", text.translate(_SUPERSCRIPTS)).strip().casefold()
    plain = plain.replace("μ", "u").replace("µ", "u").replace("ι", "l").replace("mcl", "ul")
    plain = re.sub(r"\s+", "", plain).replace("×", "x")
    if plain[:1] in "([" and plain[-1:] in ")]":
        plain = plain[1:-1]
    plain = re.sub(r"^[x*](?=10)", "", plain).replace("**", "*").replace("^", "*")
    plain = plain.replace("/mcl", "/ul").replace("/cmm", "/mm3").replace("m²", "m2")
    plain = re.sub(r"^10([1-9])/", r"10*\1/", plain)
    return re.sub(r"/(d|m|u)?ℓ", lambda m: f"/{m[1] or ''}l", plain)


_SUPERSCRIPTS: Final = str.maketrans(
    {"⁰": "*0", "¹": "*1", "²": "*2", "³": "*3", "⁴": "*4", "⁶": "*6", "⁹": "*9"}
)
