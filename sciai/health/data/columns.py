"""The columns of the joint model: names, units, kinds and limits; and what follows from them.

``default_schema()`` describes the shipped model's columns (``data/health/columns.yaml``). A table of one's
own needs a file of the same form; ``Schema.read`` reads it. In arrays every value is a float: numbers as they
are, levels by their number (``sex``: 0 female, 1 male), unknown as NaN.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import yaml

from sciai.core.errors import BadInput
from sciai.core.resources import data_dir
from sciai.health.data.column import Column, Derived, Fill, Kind
from sciai.health.data.formulas import FORMULAS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Column", "Derived", "Fill", "Kind", "Schema", "default_schema"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Schema:
    """The free columns of a model, in order, and what is computed from them.

    Attributes:
        columns: free columns.
        derived: computed ones.
        left_out: columns of the table that are not modelled -> why.
    """

    columns: tuple[Column, ...]
    derived: tuple[Derived, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns] + [d.name for d in self.derived]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise BadInput(f"columns named twice: {', '.join(twice)}", field="columns")
        if not self.columns:
            raise BadInput("a schema needs at least one column", field="columns")

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the free columns."""
        return tuple(column.name for column in self.columns)

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> Column:
        """The free column of that name."""
        return self.columns[self.index(name)]

    def index(self, name: str) -> int:
        """Place of a free column.

        Raises:
            BadInput: when there is none; derived and left-out ones are explained.
        """
        if name in self._places:
            return self._places[name]
        if name in self.left_out:
            raise BadInput(f"{name} is not modelled: {self.left_out[name]}", field=name)
        if any(d.name == name for d in self.derived):
            raise BadInput(
                f"{name} is computed from {', '.join(self.derived_named(name).inputs)}", field=name
            )
        import difflib

        close = difflib.get_close_matches(name, self.names, 3, 0.5)
        raise BadInput(
            f"there is no column {name!r}",
            field=name,
            fix=f"did you mean {', '.join(close)}" if close else None,
        )

    def derived_named(self, name: str) -> Derived:
        """The derived quantity of that name.

        Raises:
            BadInput: when there is none.
        """
        for derived in self.derived:
            if derived.name == name:
                return derived
        raise BadInput(f"there is no derived quantity {name!r}", field=name)

    def in_groups(self, *groups: str) -> tuple[str, ...]:
        """Names of the free columns of some groups."""
        return tuple(c.name for c in self.columns if c.group in groups)

    def encode(self, table: pd.DataFrame) -> Floats:
        """A table -> float64 (n, d). Columns that it lacks, and its gaps, are NaN; others are ignored.

        Raises:
            BadInput: naming column and row of a value that does not fit.
        """
        result = np.full((len(table), len(self)), np.nan)
        for i, column in enumerate(self.columns):
            if column.name in table:
                result[:, i] = column.encode(table[column.name])
        for i, column in enumerate(self.columns):
            for fill in column.fill:
                if column.name in table:
                    rows = np.isnan(result[:, i]) & self._where(result, fill.where)
                    result[rows, i] = column.encode([fill.value])[0]
        return result

    def decode(self, values: Floats, *, derived: bool = True) -> pd.DataFrame:
        """Float64 (n, d) -> a table, with the derived quantities computed from the rounded free values."""
        import pandas as pd

        content: dict[str, Any] = {}
        rounded = np.array(values, float)
        for i, column in enumerate(self.columns):
            if column.numeric:
                rounded[:, i] = np.round(rounded[:, i], column.decimals) + 0.0
                content[column.name] = rounded[:, i]
            else:
                content[column.name] = column.decode(rounded[:, i])
        if derived:
            content |= self.compute(rounded)
        return pd.DataFrame(content)

    def compute(self, values: Floats) -> dict[str, Floats]:
        """Every derived quantity of float64 (n, d); NaN where an input is unknown."""
        named = {name: values[:, i] for i, name in enumerate(self.names)}
        return {d.name: d.compute(named) for d in self.derived}

    def _where(self, values: Floats, where: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
        result = np.ones(len(values), bool)
        for name, wanted in where.items():
            if name not in self:
                return np.zeros(len(values), bool)
            column, own = self[name], values[:, self.index(name)]
            if column.numeric:
                low, high = wanted
                result &= (own >= low) & (own <= high)
            else:
                codes = wanted if isinstance(wanted, list | tuple) else [wanted]
                result &= np.isin(own, column.encode(codes))
        return result

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Schema:
        """A schema from a YAML file of the form of ``data/health/columns.yaml``.

        Raises:
            BadInput: when the file is missing, is no such file, or has unknown keys or formulas.
        """
        file = Path(path)
        try:
            content = yaml.load(file.read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise BadInput(f"the schema cannot be read: {error}", file=file) from error
        if not isinstance(content, dict) or not isinstance(content.get("columns"), list):
            raise BadInput("a schema has a list of columns", file=file, fix="see data/health/columns.yaml")
        try:
            return cls.from_dict(content)
        except BadInput as error:
            raise BadInput(error.problem, file=file, field=error.field, fix=error.fix) from error

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Schema:
        """A schema from plain values (a YAML file, or a checkpoint's card).

        Raises:
            BadInput: on unknown keys, kinds or formulas.
        """
        return cls(
            tuple(_column(entry) for entry in content["columns"]),
            tuple(_derived(entry) for entry in content.get("derived") or ()),
            dict(content.get("left_out") or {}),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``from_dict`` reads them."""
        return {
            "columns": [_plain(c, Column) for c in self.columns],
            "derived": [_plain(d, Derived) for d in self.derived],
            "left_out": dict(self.left_out),
        }

    def joined(self, other: Schema) -> Schema:
        """The columns of both; where both have one, it has to be the same measurement.

        Raises:
            BadInput: when kind, unit or codes of a shared column differ.
        """
        for column in other.columns:
            if column.name in self:
                ours = self[column.name]
                if (ours.kind, ours.unit, ours.codes) != (column.kind, column.unit, column.codes):
                    raise BadInput(
                        f"two tables have a column {column.name} of different kind, unit or codes",
                        field=column.name,
                        unit=f"{ours.unit} and {column.unit}",
                        fix="convert one, or rename it",
                    )
        columns = (*self.columns, *(c for c in other.columns if c.name not in self))
        free = {c.name for c in columns}
        derived = {d.name: d for d in (*other.derived, *self.derived) if d.name not in free}
        return Schema(columns, tuple(derived.values()), {**other.left_out, **self.left_out})


@functools.cache
def default_schema() -> Schema:
    """The columns of the shipped model.

    >>> schema = default_schema()
    >>> schema["creatinine"].unit, schema["sex"].levels
    ('mg/dL', ('female', 'male'))
    """
    return Schema.read(data_dir() / "health" / "columns.yaml")


def _column(entry: Mapping[str, Any]) -> Column:
    name = str(entry.get("name", "?"))
    _known(entry, Column, name)
    options = dict(entry)
    try:
        options["kind"] = Kind(str(entry.get("kind")))
    except ValueError:
        raise BadInput(f"kind {entry.get('kind')!r}", field=name, fix=f"use {', '.join(Kind)}") from None
    for key in ("levels", "codes"):
        options[key] = tuple(options.get(key) or ())
    options["levels"] = options["levels"] or tuple(str(code) for code in options["codes"])
    options["codes"] = options["codes"] or options["levels"]
    options["fill"] = tuple(Fill(f["value"], dict(f["where"])) for f in entry.get("fill") or ())
    column = Column(**options)
    count = len(column.levels)
    wrong = count > 0 if column.numeric else count < 2
    if wrong or len(column.codes) != count or (column.kind is Kind.BINARY and count != 2):
        raise BadInput(f"{count} levels and {len(column.codes)} codes for a {column.kind} column", field=name)
    return column


def _derived(entry: Mapping[str, Any]) -> Derived:
    name = str(entry.get("name", "?"))
    _known(entry, Derived, name)
    if name not in FORMULAS:
        raise BadInput(f"there is no formula for {name}", field=name, fix=f"known: {', '.join(FORMULAS)}")
    return Derived(**entry)


def _known(entry: Mapping[str, Any], of: type, name: str) -> None:
    if unknown := sorted(set(entry) - {f.name for f in fields(of)}) or not entry.get("name"):
        raise BadInput(
            f"unknown keys {unknown}" if entry.get("name") else "a column without name", field=name
        )


def _plain(item: Any, of: type) -> dict[str, Any]:
    defaults = {f.name: f.default for f in fields(of)}
    content = {k: v for k, v in asdict(item).items() if v != defaults[k]}
    if "kind" in content:
        content["kind"] = str(content["kind"])
    return {k: _listed(v) for k, v in content.items()}


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _listed(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_listed(v) for v in value]
    return value
