"""Tables of people, read into one dataset: the shipped model's, one's own, or several of different columns.

A table is a parquet or CSV file, one row per person, with a schema that says what its columns mean. Tables
with different columns are put under each other; columns that a table lacks are unknown there. People are
split by group (survey cycle, stratum and sampling unit for NHANES), never by row.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sciai.core.answer import jsonable
from sciai.core.errors import BadInput
from sciai.health.data.columns import Schema, default_schema
from sciai.health.data.encodings import encoding_of_file, said_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["People", "Table", "cells_of", "death_within", "fasting_half", "read_table", "shared_health"]

Floats = npt.NDArray[np.float64]

_PEOPLE, _DEATHS = "nhanes_2011_2018_adults.parquet", "nhanes_2011_2018_mortality.parquet"
_DESIGN = {"w_mec", "trig_serum", "trig_fasting", "glucose_fasting"}  # a table of NHANES has them all
_LEAST_FOLLOWED = 0.2  # share of an era that has to be followed to the end for its outcomes to count


def shared_health() -> Path | None:
    """Folder of the real tables: ``$SCIAI_SHARED/data/health``, else ``../shared/data/health``; or None."""
    root = os.environ.get("SCIAI_SHARED")
    base = Path(root) if root else Path(__file__).resolve().parents[4] / "shared"
    folder = base / "data" / "health"
    return folder if folder.is_dir() else None


@dataclass(frozen=True)
class Table:
    """Where a table is and how to read it.

    Attributes:
        path: parquet or CSV file; None takes the NHANES table of ``shared_health()``.
        schema: YAML file that describes its columns; None takes the shipped model's schema.
        group_by: columns that together name a person's group; none of them has to be modelled.
        weight: column that says how many people of the population a person stands for; None weighs all
            equally.
        deaths: parquet or CSV file with ``key``, ``mort_stat`` (1 dead) and ``permth_exm`` (months); None:
            none,
            except with the NHANES table.
        key: column that joins people and deaths.
        era: column of the calendar period, within which follow-up ended at about the same time.
    """

    path: str | None = None
    schema: str | None = None
    group_by: Sequence[str] = ("cycle", "strata", "psu")
    weight: str | None = "w_mec"
    deaths: str | None = None
    key: str = "seqn"
    era: str = "cycle"

    def files(self) -> tuple[Path, Path | None]:
        """The table's file, and that of the deaths.

        Raises:
            BadInput: when no path was given and there is no shared folder.
        """
        if self.path is not None:
            return Path(self.path), None if self.deaths is None else Path(self.deaths)
        folder = shared_health()
        if folder is None:
            raise BadInput(
                "no table was named and there is none beside the checkout",
                field="domain.data.dataset.tables",
                fix="give the path of a table (`sciai health fetch nhanes` makes one), or set SCIAI_SHARED",
            )
        return folder / _PEOPLE, Path(self.deaths) if self.deaths else folder / _DEATHS


_TEXT = (".csv", ".tsv", ".txt")


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """A table of people, one a row: .parquet, .csv (or .txt) with commas or semicolons, .tsv with tabs.

    Text is UTF-8, UTF-16, Shift_JIS, EUC-JP or Latin-1. Where semicolons part the cells, a comma may stand
    before the decimals.

    Args:
        path: the file.

    Returns:
        The table; ``attrs["reading"]`` holds what was assumed about the file.

    Raises:
        BadInput: when it is missing, empty, or no such file.
    """
    import pandas as pd

    file = Path(path)
    kind = file.suffix.lower()
    try:
        if kind in (".parquet", ".pq"):
            table = pd.read_parquet(file)
        elif kind in _TEXT:
            table, _ = _read_text(file)
        else:
            raise BadInput("neither CSV nor Parquet", file=file, fix="give a .csv or .parquet file")
    except BadInput:
        raise
    except FileNotFoundError:
        raise BadInput("there is no such file", file=file, fix="check the path") from None
    except Exception as error:  # whatever the reader of the day raises on a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(f"cannot be read: {reason}", file=file, fix="give a .csv or .parquet file") from error
    if table.empty:
        raise BadInput("the table has no rows", file=file, fix="give one person in each row")
    return table


def cells_of(path: str | os.PathLike[str]) -> tuple[pd.DataFrame, str] | None:
    """The cells of a table as its file has them, where it is text: 00123 is no 123, and NA may be a name.

    Args:
        path: a file that `read_table` reads.

    Returns:
        Texts, and the mark that stands before decimals; None of a Parquet file.
    """
    file = Path(path)
    if file.suffix.lower() not in _TEXT:
        return None
    return _read_text(file, dtype=str, keep_default_na=False)


def _read_text(file: Path, **how: Any) -> tuple[pd.DataFrame, str]:
    import pandas as pd

    encoding = encoding_of_file(file)
    if encoding is None:
        raise BadInput("cannot be read: the text is in none of the encodings that are known", file=file)
    with open(file, encoding=encoding, newline="") as lines:
        head = lines.readline()
    sep = max(",\t;", key=head.count) if file.suffix.lower() != ".tsv" else "\t"
    decimal = "," if sep == ";" else "."
    table = pd.read_csv(file, sep=sep, encoding=encoding, decimal=decimal, **how)
    said = said_of(encoding)
    table.attrs["reading"] = [] if said is None else [jsonable(said)]
    return table, decimal


def fasting_half(table: pd.DataFrame) -> Floats:
    """Who had blood drawn in the fasting (morning) half of NHANES, shape (n,): 1, 0, NaN without blood.

    The table does not say it, its gaps do: fasting values exist for that half only.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"trig_serum": [90, 80, None], "trig_fasting": [91, None, None]})
    >>> fasting_half(table.assign(glucose_fasting=None)).tolist()
    [1.0, 0.0, nan]
    """
    fasting = table[["trig_fasting", "glucose_fasting"]].notna().any(axis=1)
    return np.where(fasting, 1.0, np.where(table["trig_serum"].notna(), 0.0, np.nan))


def death_within(
    months: npt.ArrayLike, died: npt.ArrayLike, era: Sequence[Any], horizon: float = 60.0
) -> tuple[Floats, Floats]:
    """Death within a horizon as a yes/no outcome, with inverse-probability-of-censoring weights.

    A person who died in time counts as 1, one who was followed to the horizon as 0, one who was lost
    earlier is unknown; those that are known are weighted by one over the (Kaplan-Meier) probability of
    being followed that long in their era. Robins & Rotnitzky 1992; Graf et al. 1999, Statistics in Medicine
    18. In an era that ended before the horizon only the dead would be known: its outcomes are all unknown,
    or the era alone would give the answer away.

    Args:
        months: from examination to death or end of follow-up, shape (n,); NaN is unknown.
        died: 1 for death, 0 for alive, NaN for unknown, shape (n,).
        era: calendar period of each person.
        horizon: in months.

    Returns:
        Outcome (1, 0, NaN) and weight (0 where unknown), shape (n,).

    >>> outcome, weight = death_within([10, 70, 30, 80], [1, 0, 0, 0], ["a"] * 4)
    >>> outcome.tolist(), weight.round(2).tolist()
    ([1.0, 0.0, nan, 0.0], [1.0, 1.5, 0.0, 1.5])
    """
    time, dead = np.asarray(months, float), np.asarray(died, float)
    names = np.array([str(e) for e in era])
    outcome, weight = np.full(len(time), np.nan), np.zeros(len(time))
    for name in np.unique(names):
        own = np.flatnonzero((names == name) & np.isfinite(time) & np.isfinite(dead))
        t, d = time[own], dead[own] == 1
        followed = _still_followed(t, ~d, np.minimum(t, horizon))
        if not len(own) or _still_followed(t, ~d, np.array([horizon]))[0] < _LEAST_FOLLOWED:
            continue
        known = (d & (t <= horizon)) | (t >= horizon)
        outcome[own[known]] = (d & (t <= horizon))[known]
        weight[own[known]] = 1 / followed[known]
    return outcome, weight


def _still_followed(time: Floats, lost: npt.NDArray[np.bool_], at: Floats) -> Floats:
    """Kaplan-Meier probability of not having been lost before a time."""
    if not len(time):
        return np.zeros(len(at))
    moments, place = np.unique(time, return_inverse=True)
    losses = np.bincount(place, lost)
    at_risk = len(time) - np.concatenate([[0], np.cumsum(np.bincount(place))[:-1]])
    stay = np.concatenate([[1.0], np.cumprod(1 - losses / at_risk)])
    return np.asarray(stay[np.searchsorted(moments, at, "left")])


class People:
    """People of one or several tables, for ``sciai.core.data.DataModule``.

    Args:
        tables: ``Table`` objects or their fields as mappings; None is the NHANES table alone.
        outcome: column that ``death_within`` fills, where the schema has it.
        horizon: of that outcome, in months.

    Attributes:
        schema: the columns of all tables.
        values: shape (n, d), encoded; NaN is unknown.
        weights: how many people of the population each stands for, shape (n,); mean 1.
        outcome_weights: of the outcome, shape (n,); 1 where there is none.
        groups: group of each person.
        ids: key of each person where the table has one, else the row's number.
    """

    def __init__(
        self,
        tables: Sequence[Table | Mapping[str, Any]] | None = None,
        outcome: str = "death_5y",
        horizon: float = 60.0,
    ) -> None:
        named = [t if isinstance(t, Table) else Table(**t) for t in (tables or [Table()])]
        schemas = [default_schema() if t.schema is None else Schema.read(t.schema) for t in named]
        self.schema = schemas[0]
        for other in schemas[1:]:
            self.schema = self.schema.joined(other)
        parts = [self._read(t, s, outcome, horizon) for t, s in zip(named, schemas, strict=True)]
        self.values = np.full((sum(len(p["values"]) for p in parts), len(self.schema)), np.nan)
        row = 0
        for part, schema in zip(parts, schemas, strict=True):
            place = [self.schema.index(name) for name in schema.names]
            self.values[row : row + len(part["values"]), place] = part["values"]
            row += len(part["values"])
        self.weights = np.concatenate([p["weights"] for p in parts])
        self.outcome_weights = np.concatenate([p["outcome"] for p in parts])
        self.groups = [f"{k}:{g}" if len(parts) > 1 else g for k, p in enumerate(parts) for g in p["groups"]]
        self.ids = np.concatenate([p["ids"] for p in parts])
        self._outcome = self.schema.index(outcome) if outcome in self.schema else -1
        self.provenance = {
            "tables": [p["source"] for p in parts],
            "people": len(self.values),
            "columns": len(self.schema),
        }

    def _read(self, table: Table, schema: Schema, outcome: str, horizon: float) -> dict[str, Any]:
        from hashlib import sha256

        path, deaths = table.files()
        frame = read_table(path)
        if not any(name in frame for name in schema.names):
            raise BadInput("none of the schema's columns is in the table", file=path, field="columns")
        _has_what_is_named(table, frame, path)
        known = np.ones(len(frame))
        if deaths is not None and outcome in schema and table.key in frame:
            linked = frame[[table.key]].merge(read_table(deaths), on=table.key, how="left")
            if len(linked) != len(frame):
                raise BadInput(f"{table.key} is not unique", file=deaths, field=table.key)
            era = frame[table.era] if table.era in frame else ["all"] * len(frame)
            frame[outcome], known = death_within(
                linked["permth_exm"], linked["mort_stat"], list(era), horizon
            )
        if "fasted" in schema and "fasted" not in frame and set(frame) >= _DESIGN:
            frame["fasted"] = fasting_half(frame)
        try:
            values = schema.encode(frame)
        except BadInput as error:
            raise BadInput(
                error.problem, file=path, field=error.field, unit=error.unit, fix=error.fix
            ) from error
        wanted = [table.group_by] if isinstance(table.group_by, str) else table.group_by
        by = [c for c in wanted if c in frame]
        groups = ["/".join(_short(v) for v in row) for row in frame[by].itertuples(index=False)] if by else []
        weight = frame[table.weight].to_numpy(float) if table.weight in frame else np.ones(len(frame))
        return {
            "values": values,
            "weights": weight / weight.mean(),
            "outcome": np.where(known > 0, known, 1.0),
            "groups": groups or [str(i) for i in range(len(frame))],
            "ids": frame[table.key].to_numpy() if table.key in frame else np.arange(len(frame)),
            "source": {
                "file": path.name,
                "people": len(frame),
                "sha256": sha256(path.read_bytes()).hexdigest(),
            },
        }

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> dict[str, npt.NDArray[np.float32]]:
        """Person ``index``: ``values`` (d,), and ``weight`` (d,) of each column in the loss."""
        weight = np.ones(self.values.shape[1], "f4")
        if self._outcome >= 0:
            weight[self._outcome] = self.outcome_weights[index]
        return {"values": self.values[index].astype("f4"), "weight": weight}


def _has_what_is_named(table: Table, frame: pd.DataFrame, path: Path) -> None:
    """Columns that somebody named have to be there: split by row, visits of one person are on both sides."""
    usual = Table()
    for field in ("group_by", "weight", "key", "era"):
        wanted, default = getattr(table, field), getattr(usual, field)
        columns = [wanted] if isinstance(wanted, str) else list(wanted or ())
        if columns == ([default] if isinstance(default, str) else list(default)):
            continue
        if missing := [c for c in columns if c not in frame]:
            raise BadInput(
                f"there is no column {', '.join(map(str, missing))}",
                file=path,
                field=field,
                fix=f"name one of {', '.join(map(str, list(frame)[:20]))}",
            )


def _short(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
