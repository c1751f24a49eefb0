"""FHIR bundles as exporters write them: other specimens and patients, dates without a day, words."""

from __future__ import annotations

from typing import Any

import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.health.data.panels import Panel, read_panels

PATIENT = {"resourceType": "Patient", "id": "1", "gender": "male", "birthDate": "1960-02-01"}


def observation(loinc: str, name: str, value: Any = None, unit: str = "mg/dL", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": loinc}], "text": name},
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "2024-05-10",
    }
    if value is not None:
        ucum = "http://unitsofmeasure.org"
        found["valueQuantity"] = {"value": value, "unit": unit, "system": ucum, "code": unit}
    return found | more


CREATININE = observation("2160-0", "Creatinine", 1.0)


def bundle(*resources: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}


def read(*resources: Any) -> Panel:
    return read_panels(bundle(PATIENT, *resources))[0]


@pytest.mark.parametrize(
    "other",
    [
        observation("5792-7", "Glucose", 500),
        observation("2342-4", "Glucose", 60),
        observation("99999-9", "Glucose", 60, specimen={"display": "Urine specimen"}),
        observation("99999-9", "Glucose (CSF)", 60),
    ],
)
def test_the_sugar_of_another_fluid_is_not_that_of_blood(other: dict[str, Any]) -> None:
    assert read(CREATININE, other).values == {"creatinine": 1.0}


@pytest.mark.parametrize(
    ("reference", "more"),
    [
        ("Specimen/s1", {"type": {"text": "Urine"}}),
        (
            "http://server/fhir/Specimen/s1",
            {"type": {"coding": [{"code": "1", "display": "Urine specimen"}]}},
        ),
        ("Specimen/s1", {"type": {"coding": [{"system": "http://snomed.info/sct", "code": "122575003"}]}}),
        ("#s1", {"type": {"text": "随時尿"}}),
    ],
)
def test_a_specimen_that_is_referred_to_is_looked_up(reference: str, more: dict[str, Any]) -> None:
    specimen = {"resourceType": "Specimen", "id": "s1"} | more
    local = {"code": {"coding": [{"system": "urn:lab", "code": "GLU", "display": "Glucose"}]}}
    own = {"contained": [specimen]} if reference == "#s1" else {}
    other = observation("1-1", "x", 500) | local | own | {"specimen": {"reference": reference}}
    rest = [] if own else [specimen]
    assert read(observation("2345-7", "Glucose", 95), other, *rest).values == {"glucose_serum": 95}
    blood = specimen | {"type": {"text": "Serum"}}
    assert read(other | ({"contained": [blood]} if own else {}), blood).values == {"glucose_serum": 500}


@pytest.mark.parametrize("states", [("preliminary", "final"), ("final", "corrected"), ("final", "amended")])
def test_of_the_states_of_a_result_the_last_counts(states: tuple[str, str]) -> None:
    before, after = (CREATININE | {"status": state} for state in states)
    after["valueQuantity"] = before["valueQuantity"] | {"value": 1.4}
    for order in ((before, after), (after, before)):
        panel = read(*order)
        assert panel.values == {"creatinine": 1.4}
        assert [f.message for f in panel.findings if f.check == "replaced"]
    with pytest.raises(BadInput, match="given twice"):  # two results, not two states of one
        read(before, before | {"valueQuantity": after["valueQuantity"]})
    with pytest.raises(BadInput, match="given twice"):
        read(before, after | {"effectiveDateTime": "2024-05-10T12:00:00Z"})  # no saying which is later
    gone = after | {"status": "entered-in-error"}
    assert read(before, gone).values == {"creatinine": 1.0}


def test_of_several_results_of_a_day_the_last_counts() -> None:
    # noon in Greenwich is 21 o'clock there
    times = ("2024-05-10T07:30:00+09:00", "2024-05-10T22:00:00+09:00", "2024-05-10T12:00:00Z")
    morning, night, noon = (
        observation(
            "2160-0", "Creatinine", value, effectiveDateTime=time, specimen={"reference": f"Specimen/{time}"}
        )
        for time, value in zip(times, (1.0, 1.2, 1.4), strict=True)
    )
    for order in ((morning, night, noon), (night, noon, morning)):
        panel = read(*order)
        assert panel.values == {"creatinine": 1.2}
        assert next(f for f in panel.findings if f.check == "measured-again").message.startswith("2 obs")
    awaited = observation("2160-0", "Creatinine", None, effectiveDateTime="2024-05-10T23:00:00+09:00")
    assert read(morning, awaited | {"dataAbsentReason": {"text": "pending"}}).values == {"creatinine": 1.0}
    with pytest.raises(BadInput, match="given twice"):
        read(morning, night, night | {"valueQuantity": noon["valueQuantity"]})


def test_a_code_that_is_not_known_is_said_where_the_name_is() -> None:
    panel = read(observation("99999-9", "Glucose", 101))
    assert panel.values == {"glucose_serum": 101}
    assert any(f.check == "unknown-code" and f.level is Level.CAUTION for f in panel.findings)
    assert not any(f.check == "unknown-code" for f in read(CREATININE).findings)


def test_of_several_codes_the_one_that_is_known_counts() -> None:
    several = [{"system": "http://local", "code": "GLU"}, {"system": "http://loinc.org", "code": "2345-7"}]
    one = observation("1-1", "x", 101) | {"code": {"coding": several}}
    assert read(one).values == {"glucose_serum": 101}


def test_nobody_gets_the_age_and_sex_of_another_patient() -> None:
    with pytest.raises(BadInput, match="another patient than the one in the bundle"):
        read_panels(bundle(PATIENT | {"id": "2"}, CREATININE))
    hemoglobin = observation("718-7", "Hb", 13.3, "g/dL")
    for key, one, two in (
        ("display", "A", "B"),
        ("identifier", {"value": "1"}, {"value": "2"}),
    ):
        with pytest.raises(BadInput, match="observations of 2 patients"):
            read_panels(bundle(CREATININE | {"subject": {key: one}}, hemoglobin | {"subject": {key: two}}))


def test_one_patient_may_be_named_in_several_ways() -> None:
    far = {"subject": {"reference": "https://x.org/fhir/Patient/1/_history/3"}}
    panel = read(CREATININE, observation("718-7", "Hb", 13.3, "g/dL") | far)
    assert panel.values == {"creatinine": 1.0, "hemoglobin": 13.3}
    assert panel.person == {"age": 64.0, "sex": "M"}
    by_urn = bundle(CREATININE | {"subject": {"reference": "urn:uuid:a"}})
    by_urn["entry"] += [
        {"fullUrl": "urn:uuid:a", "resource": PATIENT},
        {"fullUrl": "urn:uuid:b", "resource": PATIENT | {"id": "7", "gender": "female"}},
    ]
    assert read_panels(by_urn)[0].person == {"age": 64.0, "sex": "M"}


def test_a_date_without_a_day_does_not_refuse_the_rest() -> None:
    of_may = observation("718-7", "Hb", 13.3, "g/dL") | {"effectiveDateTime": "2024-05"}
    first, second = read_panels(bundle(PATIENT, CREATININE, of_may))
    assert (str(first.date), first.values) == ("2024-05-01", {"hemoglobin": 13.3})
    assert any(f.check == "date" and "2024-05" in f.message for f in second.findings)


@pytest.mark.parametrize(
    ("loinc", "value", "unit", "column", "read_as"),
    [
        ("777-3", 200, "10*3/uL{Platelets}", "platelets", 200),
        ("736-9", 30, "%{WBCs}", "lymph_pct", 30),
        ("787-2", 90, "fL{RBC}", "mcv", 90),
        ("9318-7", 30, "mg/g{creat}", "uacr", 30),
    ],
)
def test_annotations_of_units_change_nothing(
    loinc: str, value: float, unit: str, column: str, read_as: float
) -> None:
    assert read(observation(loinc, "a test", value, unit)).values == {column: read_as}


def test_a_code_of_another_system_is_no_unit() -> None:
    quantity = {"value": 1.0, "unit": "mg/dL", "system": "http://snomed.info/sct", "code": "258797006"}
    assert read(CREATININE | {"valueQuantity": quantity}).values == {"creatinine": 1.0}


def test_a_range_is_read_in_its_own_unit() -> None:
    ends = {"low": {"value": 13, "unit": "g/dL"}, "high": {"value": 17, "unit": "g/dL"}}
    hemoglobin = observation("718-7", "Hb", 133, "g/L", referenceRange=[ends])
    assert read(hemoglobin).readings[0].range == (None, None)  # not 1.3 to 1.7
    same = observation("718-7", "Hb", 13.3, "g/dL", referenceRange=[ends])
    assert read(same).readings[0].range == (13, 17)
    women = {"low": {"value": 12}, "high": {"value": 15}}
    several = observation("718-7", "Hb", 13.3, "g/dL", referenceRange=[ends, women])
    assert read(several).readings[0].range == (None, None)  # of whom is not told


def test_words_for_a_value_do_not_refuse_the_rest_and_are_not_kept() -> None:
    words = observation("2345-7", "Glucose", valueString="hemolysed, Mr. Smith to come again")
    about = observation("3094-0", "Urea nitrogen") | {"valueQuantity": {"value": 12, "comparator": "ad"}}
    absent = observation("3084-1", "Uric acid", dataAbsentReason={"text": "unknown"})
    panel = read(CREATININE, words, about, absent)
    assert panel.values == {"creatinine": 1.0}
    said = " ".join(f.message for f in panel.findings)
    assert "Glucose (observation 2), Urea nitrogen (observation 3)" in said
    assert "1 observations have no value" in said
    assert "Smith" not in said


def test_what_is_not_final_not_read_or_withdrawn_is_said() -> None:
    early = CREATININE | {"status": "preliminary"}
    panel = read(early, {"resourceType": "Condition"}, {"resourceType": "MedicationStatement"})
    found = {f.check: f for f in panel.findings}
    assert found["preliminary"].level is Level.CAUTION
    assert "1 Condition, 1 MedicationStatement" in found["not-read"].message
    with pytest.raises(BadInput, match=r"none of 1 observations has a value.*withdrawn"):
        read(CREATININE | {"status": "cancelled"})


@pytest.mark.parametrize(
    "broken",
    [
        bundle(None),
        {"resourceType": "Bundle", "entry": {"resource": CREATININE}},
        bundle(CREATININE | {"code": "2160-0"}),
        bundle(CREATININE | {"valueQuantity": 5}),
        bundle(CREATININE | {"component": {"a": 1}}),
        bundle(CREATININE | {"subject": "Patient/1"}),
        bundle(CREATININE | {"referenceRange": {"low": 1}}),
    ],
)
def test_what_is_no_fhir_is_an_error_with_words(broken: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        read_panels(broken)


@pytest.mark.parametrize("born", ["2030-01-01", "1860-01-01"])
def test_a_day_of_birth_after_the_visit_or_long_before_is_asked_about(born: str) -> None:
    with pytest.raises(BadInput, match="date of birth makes the person"):
        read_panels(bundle(PATIENT | {"birthDate": born}, CREATININE))
