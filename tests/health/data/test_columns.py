"""Columns, codes, derived quantities and their inverses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.errors import BadInput
from sciai.health.data.columns import Kind, Schema, default_schema
from sciai.health.data.formulas import FORMULAS
from sciai.health.data.synthetic import invent

SCHEMA = default_schema()


def test_every_column_has_labels_a_unit_and_limits() -> None:
    for column in SCHEMA.columns:
        assert column.label_en, column.name
        assert column.label_ja, column.name
        assert column.unit, column.name
        if column.numeric:
            assert np.isfinite(column.low), column.name
            assert column.low < column.high, column.name
        else:
            assert len(column.levels) == len(column.codes) >= 2


def test_derived_columns_are_never_free() -> None:
    assert not {d.name for d in SCHEMA.derived} & set(SCHEMA.names)
    assert {d.name for d in SCHEMA.derived} == set(FORMULAS)
    for derived in SCHEMA.derived:
        assert set(derived.inputs) <= set(SCHEMA.names)
        assert derived.solved in derived.inputs


def test_the_schema_survives_plain_values() -> None:
    assert Schema.from_dict(SCHEMA.to_dict()) == SCHEMA


def test_a_table_survives_encoding() -> None:
    values = invent(SCHEMA, 50, missing=0.2)
    again = SCHEMA.encode(SCHEMA.decode(values))
    known = ~np.isnan(values)
    np.testing.assert_allclose(again[known], values[known], atol=1e-9)
    # what comes back besides follows from a skip pattern of the questionnaire
    filled = {SCHEMA.names[i] for i in np.flatnonzero((np.isnan(values) & ~np.isnan(again)).any(0))}
    assert filled <= {c.name for c in SCHEMA.columns if c.fill}


@given(st.integers(0, 10_000))
def test_solve_is_the_inverse_of_compute(seed: int) -> None:
    values = invent(SCHEMA, 20, seed, missing=0.0)
    named = {name: values[:, i] for i, name in enumerate(SCHEMA.names)}
    for derived in SCHEMA.derived:
        told = derived.compute(named)
        others = {n: v for n, v in named.items() if n != derived.solved}
        back = derived.solve(others, told)
        fine = np.isfinite(told)
        np.testing.assert_allclose(back[fine], named[derived.solved][fine], rtol=1e-9)


def test_ckd_epi_2021_as_published() -> None:
    """A 50-year-old man with 1.0 mg/dL has 92 mL/min/1.73 m2, a woman 69 (calculator of the NKF)."""
    egfr = SCHEMA.derived_named("egfr").compute({"creatinine": 1.0, "age": 50.0, "sex": np.array([1.0, 0.0])})
    np.testing.assert_allclose(egfr.round(), [92, 69])


def test_friedewald_has_no_answer_above_400() -> None:
    ldl = SCHEMA.derived_named("ldl").compute(
        {"chol_total": 200.0, "hdl": 50.0, "trig_fasting": np.array([100.0, 401.0])}
    )
    assert ldl[0] == 130.0
    assert np.isnan(ldl[1])


def test_who_does_not_smoke_smokes_no_cigarettes() -> None:
    table = pd.DataFrame({"smoking": ["never", "current"], "cig_per_day": [None, None], "sex": ["M", "F"]})
    told = SCHEMA.encode(table)[:, SCHEMA.index("cig_per_day")]
    assert told[0] == 0
    assert np.isnan(told[1])


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("sex", ["M", "X"], "row 1"),
        ("age", [30, "old"], "row 1"),
        ("dx_gout", [0, 2], "row 1"),
        ("age", [np.inf, 30], "infinite"),
    ],
)
def test_what_does_not_fit_is_named(column: str, value: list[object], says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        SCHEMA.encode(pd.DataFrame({column: value}))
    assert caught.value.field == column


def test_unknown_names_are_explained() -> None:
    with pytest.raises(BadInput, match="computed from"):
        SCHEMA.index("bmi")
    with pytest.raises(BadInput, match="not modelled"):
        SCHEMA.index("seqn")
    with pytest.raises(BadInput, match="creatinine"):
        SCHEMA.index("creatinin")


def test_a_schema_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "columns:\n"
        "  - {name: grip, kind: continuous, unit: kg, low: 0, high: 120, decimals: 1}\n"
        "  - {name: sex, kind: binary, codes: [F, M]}\n"
    )
    mine = Schema.read(file)
    assert mine["sex"].levels == ("F", "M")
    both = SCHEMA.joined(mine)
    assert both.names == (*SCHEMA.names, "grip")
    file.write_text("columns:\n  - {name: grip, kind: wobbly}\n")
    with pytest.raises(BadInput, match=r"mine\.yaml"):
        Schema.read(file)
    file.write_text("columns:\n  - {name: hdl, kind: continuous, unit: mmol/L}\n")
    with pytest.raises(BadInput, match="different kind, unit"):
        SCHEMA.joined(Schema.read(file))


def test_kinds_of_the_shipped_columns() -> None:
    assert SCHEMA["dx_diabetes"].kind is Kind.BINARY
    assert SCHEMA["smoking"].kind is Kind.CATEGORICAL
    assert SCHEMA["age"].kind is Kind.COUNT
