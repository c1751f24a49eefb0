"""One FHIR observation -> items: what was measured, in what, when, and in which unit."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.data.panels.analytes import Analyte, specimen_in, table
from sciai.health.data.panels.dates import parse_date
from sciai.health.data.panels.numbers import is_sign, parse_number
from sciai.health.data.panels.panel import Item
from sciai.health.data.panels.unit_words import measures
from sciai.health.data.panels.units import parse_unit

__all__ = ["Heard", "items_of", "object_in", "objects_in", "specimen_of", "words_of"]

_URINE: Final = {"122575003", "UR", "URINE"}  # SNOMED CT and HL7 v2, table 0487, where no words stand beside
_COMPARATORS: Final = ("", "<", "<=", ">", ">=")


@dataclass
class Heard:
    """What observations of a bundle said that is no value: told together, not one by one.

    Attributes:
        absent: how many say that there is no value, and why.
        words: names of tests whose result is no number. The words may be about a person: they are not kept.
        dayless: dates without a day.
    """

    absent: int = 0
    words: list[str] = field(default_factory=list)
    dayless: list[str] = field(default_factory=list)

    def findings(self) -> Iterator[Finding]:
        """In words."""
        if self.absent:
            said = f"{self.absent} observations have no value, as they say themselves (dataAbsentReason)"
            yield Finding("absent", Level.OK, said)
        if self.words:
            names = ", ".join(dict.fromkeys(self.words))
            yield Finding("words", Level.CAUTION, f"no number is the result of {names}; not used")
        if self.dayless:
            names = ", ".join(dict.fromkeys(self.dayless))
            said = f"dates without a day ({names}) are read as the first of the month or year"
            yield Finding("date", Level.OK, said)


def object_in(parent: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """An object of a resource; empty where there is none.

    Raises:
        BadInput: where it is something else.
    """
    found = parent.get(key)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise BadInput(
            f"{where}: {key} is no object, so this is not FHIR R4", field=key, fix="export it again"
        )
    return found


def objects_in(parent: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    """A list of objects of a resource; empty where there is none.

    Raises:
        BadInput: where it is something else.
    """
    found = parent.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(part, Mapping) for part in found):
        problem = f"{where}: {key} is no list of objects, so this is not FHIR R4"
        raise BadInput(problem, field=key, fix="export it again")
    return found


def items_of(
    observation: Mapping[str, Any], where: str, heard: Heard, specimens: Mapping[str, str]
) -> Iterator[Item]:
    """The values of an observation and its components.

    Args:
        observation: the resource.
        where: its place, for messages.
        heard: what is no value is noted here.
        specimens: what the bundle's specimens are, in words, by their id or URL.

    Raises:
        BadInput: a field that is not of the form that FHIR gives it, or a date that is none.
    """
    date = _date(observation, where, heard)
    specimen = specimen_of(observation, specimens, where)
    for part in (observation, *objects_in(observation, "component", where)):
        concept = object_in(part, "code", where)
        codings = objects_in(concept, "coding", where)
        displays = [str(c["display"]) for c in codings if c.get("display")]
        codes = [str(c["code"]) for c in codings if c.get("code")]
        loincs = [str(c["code"]) for c in codings if c.get("code") and "loinc" in str(c.get("system", ""))]
        code = next((c for c in codes if table().of_code(c)), (loincs or codes or [""])[0])
        label = str(concept.get("text") or next(iter(displays), "") or code)
        if not table().of_code(code):
            # a bare name says nothing of the specimen; what stands beside it may
            found = specimen_in(" ".join([label, *displays, specimen]))
            label = f"{label} ({found})" if found and not specimen_in(label) else label
        tests = table().of_code(code) or table().find(label)
        said = _value(part, tests, where)
        if said is None:
            heard.absent += "dataAbsentReason" in part
        elif not _readable(said[0]) and any(test.modelled for test in tests):
            heard.words.append(f"{label} ({where})")
        else:
            yield Item(label, said[0], where, code, date, said[1], _range(part, said[1], tests, where))


def words_of(specimen: Mapping[str, Any]) -> str:
    """What a Specimen is, in words."""
    kind = object_in(specimen, "type", "a specimen")
    codings = objects_in(kind, "coding", "a specimen")
    words = [str(kind.get("text") or ""), *(str(c.get("display") or "") for c in codings)]
    return " ".join([*words, *("urine" for c in codings if str(c.get("code")).upper() in _URINE)])


def specimen_of(observation: Mapping[str, Any], specimens: Mapping[str, str], where: str) -> str:
    """What an observation was made on: in its own words, or those of the specimen that it refers to."""
    named = object_in(observation, "specimen", where)
    reference = str(named.get("reference") or "")
    own = {f"#{r.get('id')}": words_of(r) for r in objects_in(observation, "contained", where)
           if r.get("resourceType") == "Specimen"}  # fmt: skip
    told = own.get(reference) or specimens.get(reference) or specimens.get(reference.rsplit("/", 1)[-1], "")
    return f"{named.get('display') or ''} {told}"


def _value(part: Mapping[str, Any], tests: tuple[Analyte, ...], where: str) -> tuple[str | float, str] | None:
    """The value as written and its unit; words where it is none, None where nothing is said."""
    quantity = object_in(part, "valueQuantity", where)
    if quantity.get("value") is not None:
        comparator = str(quantity.get("comparator") or "")
        text = f"{comparator}{quantity['value']}" if comparator in _COMPARATORS else "about"
        return text, _unit(quantity, tests)
    concept = object_in(part, "valueCodeableConcept", where)
    names = [str(c["display"]) for c in objects_in(concept, "coding", where) if c.get("display")]
    for words in (part.get("valueString"), concept.get("text"), *names):
        if words:
            return str(words), ""
    if part.get("valueInteger") is not None:
        return str(part["valueInteger"]), ""
    other = next((key for key in part if key.startswith("value")), "")
    return (other.removeprefix("value"), "") if other else None


def _unit(quantity: Mapping[str, Any], tests: tuple[Analyte, ...]) -> str:
    """The UCUM code, unless it is of another system or unknown and the unit in words is known."""
    code, words = str(quantity.get("code") or ""), str(quantity.get("unit") or "")
    ucum = "unitsofmeasure" in str(quantity.get("system") or "unitsofmeasure")
    said = [text for text in ((code, words) if ucum else (words, code)) if text]
    return next((text for text in said if any(measures(text, test) for test in tests)), next(iter(said), ""))


def _readable(text: str | float) -> bool:
    if is_sign(str(text)):
        return True
    try:
        parse_number(text)
    except BadInput:
        return False
    return True


def _date(observation: Mapping[str, Any], where: str, heard: Heard) -> dt.date | None:
    period = object_in(observation, "effectivePeriod", where)
    found = {
        "effectiveDateTime": observation.get("effectiveDateTime"),
        "effectiveInstant": observation.get("effectiveInstant"),
        "effectivePeriod": period.get("start"),
        "issued": observation.get("issued"),
    }
    field_, text = next(((name, str(text)) for name, text in found.items() if text), ("", ""))
    if re.fullmatch(r"\d{4}(-\d{2})?", text):
        heard.dayless.append(text)
        text = f"{text}-01" if len(text) == 7 else f"{text}-01-01"
    return parse_date(text[:10], f"{where}, {field_}") if text else None


def _range(part: Mapping[str, Any], unit: str, tests: tuple[Analyte, ...], where: str) -> str:
    """The reference range in the value's unit; "" where there is none, or several for different people."""
    found = []
    for one in objects_in(part, "referenceRange", where):
        low, high = object_in(one, "low", where), object_in(one, "high", where)
        ends = low.get("value"), high.get("value")
        if ends == (None, None):
            found += [str(one["text"])] if one.get("text") else []
        elif all(_same_unit(end, unit, tests) for end in (low, high) if end.get("value") is not None):
            found.append(
                f"{ends[0]}-{ends[1]}" if None not in ends
                else f">={ends[0]}" if ends[1] is None else f"<={ends[1]}"
            )  # fmt: skip
    return found[0] if len(set(found)) == 1 else ""


def _same_unit(end: Mapping[str, Any], unit: str, tests: tuple[Analyte, ...]) -> bool:
    own = _unit(end, tests)
    if not own or own == unit:
        return True
    try:
        return any(parse_unit(own, test) == parse_unit(unit, test) for test in tests)
    except BadInput:
        return False
