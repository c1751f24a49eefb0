"""FHIR R4 bundles (HL7) of laboratory observations -> items.

Only what is needed is taken: observations, the patient's sex, and the day of birth for the age at each
date. Where ``fhir.resources`` is installed (the extra ``fhir``), every observation is also held against the
standard.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.data.panels.dates import parse_date
from sciai.health.data.panels.panel import Item
from sciai.health.data.panels.sheet import Sheet

__all__ = ["sheet_of_bundle"]

_UNUSABLE: Final = {"entered-in-error", "cancelled", "registered"}


def sheet_of_bundle(bundle: Mapping[str, Any], file: object) -> Sheet:
    """Observations of a bundle.

    Args:
        bundle: a Bundle, a DiagnosticReport with contained observations, or one Observation.
        file: name of the source, for messages.

    Raises:
        BadInput: another resource, observations of several patients, or no observation at all.

    >>> quantity = {"value": 88, "unit": "umol/L", "system": "http://unitsofmeasure.org", "code": "umol/L"}
    >>> code = {"coding": [{"system": "http://loinc.org", "code": "2160-0"}]}
    >>> one = {"resourceType": "Observation", "status": "final", "code": code, "valueQuantity": quantity}
    >>> sheet_of_bundle(one, "a.json").items[0].code
    '2160-0'
    """
    sheet = Sheet()
    resources = list(_resources(bundle))
    observations = [r for r in resources if r.get("resourceType") == "Observation"]
    if not observations:
        kind = bundle.get("resourceType")
        raise BadInput(
            f"a FHIR {kind} without an Observation", file=file, fix="export the laboratory results"
        )
    subjects = {str(s) for r in observations if (s := (r.get("subject") or {}).get("reference"))}
    if len(subjects) > 1:
        raise BadInput(
            f"observations of {len(subjects)} patients", file=file, fix="give one patient at a time"
        )
    patients = [r for r in resources if r.get("resourceType") == "Patient"]
    if len(patients) > 1:
        patients = [r for r in patients if any(s.endswith(f"/{r.get('id')}") for s in subjects)]
        if len(patients) != 1:
            problem = "several patients, and the observations do not say whose they are"
            raise BadInput(problem, file=file, field="subject", fix="give one patient at a time")
    for patient in patients:
        if patient.get("gender") in ("male", "female"):
            sheet.person["sex"] = patient["gender"]
        if patient.get("birthDate"):
            born = str(patient["birthDate"])
            # a year alone is allowed; the middle of it is at most half a year off
            sheet.birth = parse_date(born if len(born) == 10 else f"{born[:4]}-07-01", "birthDate")
    skipped = 0
    for number, observation in enumerate(observations):
        if observation.get("status") in _UNUSABLE:
            skipped += 1
            continue
        sheet.items += _items(observation, f"observation {number + 1}")
    if skipped:
        said = f"{skipped} observations that were withdrawn or not yet made were left out"
        sheet.notes.append(Finding("withdrawn", Level.OK, said))
    sheet.notes += _conformity(observations)
    return sheet


def _resources(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield resource
    for inner in resource.get("contained") or ():
        yield from _resources(inner)
    for entry in resource.get("entry") or ():
        if isinstance(entry.get("resource"), Mapping):
            yield from _resources(entry["resource"])


def _items(observation: Mapping[str, Any], where: str) -> Iterator[Item]:
    date = _date(observation, where)
    for part in (observation, *(observation.get("component") or ())):
        concept = part.get("code") or {}
        codings = concept.get("coding") or []
        label = concept.get("text") or next((c["display"] for c in codings if c.get("display")), "")
        loinc = next((str(c.get("code", "")) for c in codings if "loinc" in str(c.get("system", ""))), "")
        other = next((str(c.get("code", "")) for c in codings), "")
        quantity = part.get("valueQuantity")
        if quantity and quantity.get("value") is not None:
            text: str | float = f"{quantity.get('comparator', '')}{quantity['value']}"
            unit = str(quantity.get("code") or quantity.get("unit") or "")
        elif part.get("valueString") is not None or part.get("valueCodeableConcept"):
            text = str(part.get("valueString") or (part["valueCodeableConcept"].get("text") or ""))
            unit = ""
        elif part.get("valueInteger") is not None:
            text, unit = float(part["valueInteger"]), ""
        else:
            continue  # a heading over its components, or a value that is absent for a stated reason
        yield Item(label or loinc or other, text, where, loinc or other, date, unit, _range(part))


def _date(observation: Mapping[str, Any], where: str) -> dt.date | None:
    period = observation.get("effectivePeriod") or {}
    found = {
        "effectiveDateTime": observation.get("effectiveDateTime"),
        "effectiveInstant": observation.get("effectiveInstant"),
        "effectivePeriod": period.get("start"),
        "issued": observation.get("issued"),
    }
    field, text = next(((field, text) for field, text in found.items() if text), ("", ""))
    return parse_date(str(text)[:10], f"{where}, {field}") if text else None


def _range(part: Mapping[str, Any]) -> str:
    for found in part.get("referenceRange") or ():
        low, high = (found.get("low") or {}).get("value"), (found.get("high") or {}).get("value")
        if low is not None and high is not None:
            return f"{low}-{high}"
        if low is not None or high is not None:
            return f">={low}" if high is None else f"<={high}"
        if found.get("text"):
            return str(found["text"])
    return ""


def _conformity(observations: list[Mapping[str, Any]]) -> Iterator[Finding]:
    try:
        from fhir.resources.R4B.observation import Observation
    except ImportError:
        return
    bad = 0
    for observation in observations:
        try:
            Observation.model_validate(dict(observation))
        except ValueError:
            bad += 1
    if bad:
        said = f"{bad} of {len(observations)} observations do not conform to FHIR R4; read as far as they go"
        yield Finding("fhir-conformity", Level.CAUTION, said)
