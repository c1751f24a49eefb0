"""One column of the joint model, free or computed from free ones; see ``sciai.health.data.columns``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.health.data.formulas import FORMULAS

__all__ = ["Column", "Derived", "Fill", "Kind"]

Floats = npt.NDArray[np.float64]


class Kind(StrEnum):
    """What values a column takes."""

    CONTINUOUS = "continuous"
    COUNT = "count"
    ORDINAL = "ordinal"
    BINARY = "binary"
    CATEGORICAL = "categorical"


@dataclass(frozen=True)
class Fill:
    """A value that follows from another column, where the questionnaire skipped the question.

    Attributes:
        value: as the table would hold it.
        where: other column -> a code, several codes, or for numbers ``[low, high]``.
    """

    value: Any
    where: Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One free column.

    Attributes:
        name: as in the table.
        kind: which values it takes.
        unit: UCUM; ``1`` where there is none.
        group: person, body, lifestyle, lab, blood_count, medication, diagnosis, questionnaire, outcome,
            or design.
        label_en: name in English.
        label_ja: name in Japanese.
        loinc: LOINC code, or None.
        levels: names of the levels (binary, ordinal, categorical).
        codes: what tables hold for them, in the same order.
        low: smallest plausible value (numbers only).
        high: largest plausible value.
        decimals: places that the table rounds to.
        step: what values are multiples of, where that is coarser (thirds, of a mean of three); 0: none.
        partial: asked of some people only, by design (one era, the fasting half): who has a value is special.
        twin: a column that all but gives this one away; a fair test of one hides the other.
        fill: values known from skip patterns.
        note: what a reader has to know.
    """

    name: str
    kind: Kind
    unit: str = "1"
    group: str = "lab"
    label_en: str = ""
    label_ja: str = ""
    loinc: str | None = None
    levels: tuple[str, ...] = ()
    codes: tuple[Any, ...] = ()
    low: float = -np.inf
    high: float = np.inf
    decimals: int = 0
    step: float = 0.0
    partial: bool = False
    twin: str | None = None
    fill: tuple[Fill, ...] = ()
    note: str = ""

    @property
    def numeric(self) -> bool:
        """Whether values are numbers (continuous or count), not levels."""
        return self.kind in (Kind.CONTINUOUS, Kind.COUNT)

    def encode(self, values: Any) -> Floats:
        """Values as a table holds them -> floats, NaN where unknown.

        Args:
            values: a sequence, shape (n,): numbers, codes, or names of levels.

        Raises:
            BadInput: on a text that is no code, or a number that is no level; names the first row.

        >>> from sciai.health.data.columns import default_schema
        >>> default_schema()["sex"].encode(["M", "F", None, "male"]).tolist()
        [1.0, 0.0, nan, 1.0]
        """
        if self.numeric:
            return self._numbers(values)
        known: dict[Any, int] = {}
        for number, (code, level) in enumerate(zip(self.codes, self.levels, strict=True)):
            known |= {code: number, level: number, str(code): number}
        result = np.full(len(values), np.nan)
        for row, value in enumerate(values):
            # the words first: pandas' NA is neither equal nor unequal to itself
            if value is None or value is np.ma.masked or str(value) in ("", "<NA>", "nan") or value != value:
                continue
            key = value.item() if isinstance(value, np.generic) else value
            key = int(key) if isinstance(key, bool | float) and key == int(key) else key
            if key not in known:
                raise BadInput(
                    f"row {row}: {value!r} is not a level of it",
                    field=self.name,
                    fix="use one of " + ", ".join(str(c) for c in self.codes),
                )
            result[row] = known[key]
        return result

    def _numbers(self, values: Any) -> Floats:
        return read_numbers(values, self.name, self.unit)

    def decode(self, values: Floats) -> list[Any]:
        """Floats -> values as a table holds them; numbers rounded as the table's, NaN as None."""
        if self.numeric:
            rounded = np.round(values, self.decimals) + 0.0
            return [None if v != v else float(v) for v in rounded]
        return [None if v != v else self.codes[int(v)] for v in values]


def read_numbers(values: Any, name: str, unit: str) -> Floats:
    """Numbers as a table holds them -> floats, NaN where unknown.

    Args:
        values: a sequence, shape (n,).
        name: of the column, for messages.
        unit: likewise.

    Raises:
        BadInput: naming the row of a value that is none.
    """
    try:
        result = np.asarray(
            values.to_numpy(dtype=float, na_value=np.nan) if hasattr(values, "to_numpy") else values,
            float,
        )
    except (TypeError, ValueError):
        for row, value in enumerate(values):
            try:
                float("nan" if value is None else value)
            except (TypeError, ValueError):
                raise BadInput(
                    f"row {row}: {value!r} is not a number",
                    field=name,
                    unit=unit,
                    fix="give a plain number, or leave it empty where it is unknown",
                ) from None
        result = np.array([np.nan if v is None else float(v) for v in values])
    if np.isinf(result).any():
        row = int(np.flatnonzero(np.isinf(result))[0])
        raise BadInput(f"row {row}: the value is infinite", field=name, unit=unit)
    return result


@dataclass(frozen=True)
class Derived:
    """One quantity that is computed from free columns (``sciai.health.data.formulas``).

    Attributes:
        name: as in the table.
        unit: UCUM.
        label_en: name in English.
        label_ja: name in Japanese.
        loinc: LOINC code, or None.
        decimals: places to show.
        low: smallest plausible value.
        high: largest plausible value.
    """

    name: str
    unit: str = "1"
    label_en: str = ""
    label_ja: str = ""
    loinc: str | None = None
    decimals: int = 1
    low: float = -np.inf
    high: float = np.inf

    @property
    def inputs(self) -> tuple[str, ...]:
        """The free columns it follows from."""
        return FORMULAS[self.name].inputs

    @property
    def solved(self) -> str:
        """The input that ``solve`` finds from the value and the other inputs."""
        return FORMULAS[self.name].solved

    def compute(self, values: Mapping[str, Any]) -> Floats:
        """The quantity, from arrays (or numbers) of its inputs; levels by their number.

        >>> from sciai.health.data.columns import default_schema
        >>> default_schema().derived_named("bmi").compute({"weight_kg": 80, "height_cm": 200}).tolist()
        20.0
        """
        with np.errstate(all="ignore"):
            inputs = {name: np.asarray(values[name], float) for name in self.inputs}
            return np.asarray(FORMULAS[self.name].compute(inputs), float)

    def solve(self, values: Mapping[str, Any], known: Any) -> Floats:
        """The input called ``solved``, from the other inputs and the known derived value.

        >>> from sciai.health.data.columns import default_schema
        >>> default_schema().derived_named("bmi").solve({"height_cm": 200.0}, 20.0).tolist()
        80.0
        """
        formula = FORMULAS[self.name]
        with np.errstate(all="ignore"):
            others = {n: np.asarray(values[n], float) for n in self.inputs if n != formula.solved}
            return np.asarray(formula.solve(others, np.asarray(known, float)), float)
