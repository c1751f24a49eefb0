"""FHIR R4 bundles (HL7) of laboratory observations -> items.

Only what is needed is taken: observations, the patient's sex, and the day of birth for the age at each
date. Where ``fhir.resources`` is installed (the extra ``fhir``), every observation is also held against the
standard.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sciai.core.answer import Finding, Level
from sciai.core.errors import BadInput
from sciai.health.data.panels.dates import parse_date
from sciai.health.data.panels.fhir_values import Heard, items_of, object_in, objects_in, specimen_of, words_of
from sciai.health.data.panels.sheet import Sheet

__all__ = ["sheet_of_bundle"]

_UNUSABLE: Final = {"entered-in-error", "cancelled", "registered"}
_NOT_FINAL: Final = {"preliminary", "unknown"}
_RANK: Final = {"final": 1, "amended": 2, "corrected": 2}  # what was corrected takes the place of the rest
_NOT_READ: Final = (
    *("Condition", "MedicationStatement", "MedicationRequest", "MedicationAdministration"),
    *("AllergyIntolerance", "Procedure", "FamilyMemberHistory", "QuestionnaireResponse"),
)


def sheet_of_bundle(bundle: Mapping[str, Any], file: object) -> Sheet:
    """Observations of a bundle.

    Args:
        bundle: a Bundle, a DiagnosticReport with contained observations, or one Observation.
        file: name of the source, for messages.

    Raises:
        BadInput: another resource, observations of several patients or of another one than the bundle's, none
            with a value, or a field that is not of the form that FHIR gives it.

    >>> quantity = {"value": 88, "unit": "umol/L", "system": "http://unitsofmeasure.org", "code": "umol/L"}
    >>> code = {"coding": [{"system": "http://loinc.org", "code": "2160-0"}]}
    >>> one = {"resourceType": "Observation", "status": "final", "code": code, "valueQuantity": quantity}
    >>> sheet_of_bundle(one, "a.json").items[0].code
    '2160-0'
    """
    try:
        return _sheet(bundle)
    except BadInput as error:
        raise BadInput(
            error.problem, file=error.file or file, field=error.field, unit=error.unit, fix=error.fix
        ) from None


def _sheet(bundle: Mapping[str, Any]) -> Sheet:
    sheet = Sheet()
    found = list(_resources(bundle, ""))
    observations = [r for r, _ in found if r.get("resourceType") == "Observation"]
    if not observations:
        kind = bundle.get("resourceType")
        raise BadInput(f"a FHIR {kind} without an Observation", fix="export the laboratory results")
    _patient(found, observations, sheet)
    heard, skipped, early, replaced = Heard(), 0, 0, 0
    best = _standing(observations)
    specimens = {key: words_of(r) for r, url in found if r.get("resourceType") == "Specimen"
                 for key in (url, str(r.get("id") or "")) if key}  # fmt: skip
    standing: list[tuple[int, Mapping[str, Any]]] = []
    for number, observation in enumerate(observations):
        status = observation.get("status")
        if status in _UNUSABLE:
            skipped += 1
        elif _RANK.get(str(status), 0) < best[_said(observation)]:
            replaced += 1
        else:
            standing.append((number, observation))
    last = _last_of_days(standing, specimens)
    for number, observation in last:
        early += observation.get("status") in _NOT_FINAL
        sheet.items += items_of(observation, f"observation {number + 1}", heard, specimens)
    if replaced:
        said = f"{replaced} observations were left out, as a later state (final, corrected) of them is there"
        sheet.notes.append(Finding("replaced", Level.OK, said))
    if before := len(standing) - len(last):
        said = f"{before} observations were left out, as the same was measured again later that day"
        sheet.notes.append(Finding("measured-again", Level.OK, said))
    if skipped:
        said = f"{skipped} observations that were withdrawn or not yet made were left out"
        sheet.notes.append(Finding("withdrawn", Level.OK, said))
    if early:
        said = f"{early} observations are preliminary, or of unknown status: the laboratory may change them"
        sheet.notes.append(Finding("preliminary", Level.CAUTION, said))
    sheet.notes += heard.findings()
    if not sheet.items:
        said = "; ".join(note.message for note in sheet.notes) or "they are headings without values"
        raise BadInput(f"none of {len(observations)} observations has a value that can be read: {said}")
    others = Counter(str(r.get("resourceType")) for r, _ in found)
    if left := {kind: others[kind] for kind in _NOT_READ if others[kind]}:
        counts = ", ".join(f"{n} {kind}" for kind, n in left.items())
        said = f"{counts}: not read; say what is known of illnesses and drugs yourself (dx_..., rx_...)"
        sheet.notes.append(Finding("not-read", Level.OK, said))
    sheet.notes += _conformity(observations)
    return sheet


def _said(observation: Mapping[str, Any]) -> str:
    """What an observation is of, and when: states of one result agree in it."""
    told = ("code", "effectiveDateTime", "effectiveInstant", "effectivePeriod", "specimen")
    return repr([observation.get(key) for key in told])


def _standing(observations: list[Mapping[str, Any]]) -> dict[str, int]:
    """How far the furthest state of each result is."""
    best: dict[str, int] = {}
    for one in observations:
        if one.get("status") not in _UNUSABLE:
            best[_said(one)] = max(best.get(_said(one), 0), _RANK.get(str(one.get("status")), 0))
    return best


def _moment(observation: Mapping[str, Any]) -> dt.datetime | None:
    """When it was measured; None where no time of day is told, or nothing was measured."""
    if not any(key.startswith("value") or key == "component" for key in observation):
        return None
    try:
        at = dt.datetime.fromisoformat(text := _time(observation))
    except ValueError:
        return None
    return None if len(text) <= 10 else at if at.tzinfo else at.replace(tzinfo=dt.UTC)


def _time(observation: Mapping[str, Any]) -> str:
    return str(observation.get("effectiveDateTime") or observation.get("effectiveInstant") or "")


def _last_of_days(
    observations: list[tuple[int, Mapping[str, Any]]], specimens: Mapping[str, str]
) -> list[tuple[int, Mapping[str, Any]]]:
    """Without what was measured again later that day, where the times are told."""
    whats, moments = [], [_moment(one) for _, one in observations]
    last: dict[str, dt.datetime] = {}
    for (number, one), at in zip(observations, moments, strict=True):
        specimen = specimen_of(one, specimens, f"observation {number + 1}")
        whats.append(what := repr([one.get("code"), specimen, _time(one)[:10]]))
        if at is not None:
            last[what] = max(at, last.get(what, at))
    found = zip(observations, whats, moments, strict=True)
    return [one for one, what, at in found if at is None or at == last[what]]


def _resources(resource: Mapping[str, Any], url: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Every resource with the URL of its entry, which references may name."""
    yield resource, url
    kind = str(resource.get("resourceType") or "the resource")
    for inner in objects_in(resource, "contained", kind):
        yield from _resources(inner, f"#{inner.get('id', '')}")
    for number, entry in enumerate(objects_in(resource, "entry", kind)):
        inner = object_in(entry, "resource", f"entry {number + 1}")
        if inner:
            yield from _resources(inner, str(entry.get("fullUrl") or ""))


def _patient(
    found: list[tuple[Mapping[str, Any], str]], observations: list[Mapping[str, Any]], sheet: Sheet
) -> None:
    """Sex and day of birth of whom the observations are, and of nobody else."""
    patients = [(r, url) for r, url in found if r.get("resourceType") == "Patient"]
    names = {url: str(r.get("id") or url) for r, url in patients if url}
    whose = {key for o in observations if (key := _subject(o, names))}
    for kind in ("reference", "identifier", "display"):
        if (several := sum(own == kind for own, _ in whose)) > 1:
            raise BadInput(f"observations of {several} patients", fix="give one patient at a time")
        if several:
            break  # a reference tells apart what names alone may not
    subject = next((key for own, key in whose if own == "reference"), None)
    if len(patients) > 1:
        patients = [(r, url) for r, url in patients if subject in (str(r.get("id")), url)]
        if len(patients) != 1:
            problem = "several patients, and the observations do not say whose they are"
            raise BadInput(problem, field="subject", fix="give one patient at a time")
    for patient, url in patients:
        if subject is not None and subject not in (str(patient.get("id")), url):
            if not subject.startswith("urn:") and patient.get("id"):
                problem = "the observations are of another patient than the one in the bundle"
                raise BadInput(
                    problem, field="subject", fix="export them with their own patient, or with none"
                )
            said = "which patient the observations mean cannot be told: taken as the only one in the bundle"
            sheet.notes.append(Finding("whose", Level.CAUTION, said))
        if patient.get("gender") in ("male", "female"):
            sheet.person["sex"] = patient["gender"]
        if patient.get("birthDate"):
            born = str(patient["birthDate"])
            # a year alone is allowed; the middle of it is at most half a year off
            middle = {4: f"{born}-07-01", 7: f"{born}-15"}.get(len(born), born)
            sheet.birth = parse_date(middle, "birthDate")


def _subject(observation: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, str] | None:
    """Whom an observation names, and how; the same person may be named by a short and a full address."""
    subject = object_in(observation, "subject", "an observation")
    reference = str(subject.get("reference") or "").split("/_history/")[0]
    if reference:
        return "reference", names.get(reference) or reference.rsplit("/", 1)[-1].lstrip("#")
    identifier = object_in(subject, "identifier", "subject")
    if identifier.get("value"):
        return "identifier", f"{identifier.get('system', '')}|{identifier['value']}"
    return ("display", str(subject["display"])) if subject.get("display") else None


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
