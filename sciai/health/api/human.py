"""The virtual human: one joint distribution over a body, and everything one can ask of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciai.core.answer import Estimate, Provenance, ask
from sciai.core.checkpoint import Card, Checkpoint
from sciai.core.errors import BadInput, CheckpointError
from sciai.core.resources import checkpoints_dir
from sciai.health import checks
from sciai.health.api import lessons
from sciai.health.api.crowd import Conditions, Crowd, gather, where_state
from sciai.health.api.distribution import HealthAnswer, Told
from sciai.health.api.infer import tell
from sciai.health.api.known import Known
from sciai.health.api.person import Person
from sciai.health.api.record import handed_out, recorded
from sciai.health.api.words import column_named
from sciai.health.data.columns import Schema
from sciai.health.model.calibration import Calibration
from sciai.trust.gate import Standing
from sciai.trust.stage import UNRELEASED, standing_of

if TYPE_CHECKING:
    import pandas as pd

    from sciai.health.model.interface import Joint

__all__ = ["VirtualHuman"]


class VirtualHuman:
    """One joint distribution over a body: any subset of columns in, any other out.

    Attributes:
        model: the joint model.
        card: its model card.
        hash: hash of the checkpoint; empty for a model that was never saved.
        calibration: what held-out people taught about it.
        standing: its release stage; None for a model that was never saved.

    >>> from sciai.health import VirtualHuman
    >>> vh = VirtualHuman.load()
    >>> answer = vh.given(age=61, sex="female", bmi=31).ask("sbp")
    >>> 110 < answer["sbp"].mean < 150, answer["sbp"].unit
    (True, 'mm[Hg]')
    """

    def __init__(
        self,
        model: Joint,
        card: Card,
        *,
        hash: str = "",
        calibration: Calibration | None = None,
        standing: Standing | None = None,
    ) -> None:
        self.model = model
        self.card = card
        self.hash = hash
        self.calibration = calibration or Calibration()
        self.standing = standing

    @classmethod
    def load(cls, name: str = "health", path: str | os.PathLike[str] | None = None) -> VirtualHuman:
        """A shipped model by name, or one of your own by its folder.

        Args:
            name: of a shipped checkpoint.
            path: folder of a checkpoint; beats the name.

        Raises:
            CheckpointError: when there is none, when it is damaged, or when it is of another domain or other
                columns.
        """
        folder = Path(path) if path is not None else checkpoints_dir() / name
        if path is None and not folder.is_dir():
            shipped = sorted(f.name for f in checkpoints_dir().glob("health*") if f.is_dir())
            raise CheckpointError(
                f"no checkpoint is called {name!r}; there are {', '.join(shipped) or 'none'}"
            )
        checkpoint = Checkpoint.load(folder)
        return cls.from_checkpoint(checkpoint, standing_of(checkpoint, folder))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, standing: Standing = UNRELEASED) -> VirtualHuman:
        """From a checkpoint in memory.

        Args:
            checkpoint: of the health domain.
            standing: its release stage, where that is known.

        Raises:
            CheckpointError: as ``load``.
        """
        from sciai.health.model.interface import load_joint

        if checkpoint.card.domain != "health":
            raise CheckpointError(
                f"checkpoint {checkpoint.card.name!r} is of the domain {checkpoint.card.domain!r}, not health"
            )
        model = load_joint(checkpoint)
        calibration = Calibration.read(checkpoint.card.calibration)
        card, hash = checkpoint.card, checkpoint.hash
        return cls(model, card, hash=hash, calibration=calibration, standing=standing)

    # ---- what it is

    @property
    def schema(self) -> Schema:
        """Its columns."""
        return self.model.schema

    @property
    def stage(self) -> str:
        """Release stage: pilot, limited or production."""
        return self.card.stage if self.standing is None else self.standing.stage

    @cached_property
    def before(self) -> tuple[lessons.Look, ...]:
        """What is looked at before a question about one person is answered."""
        return lessons.before(self, checks.BEFORE)

    def provenance(self, seed: int | None = None) -> Provenance:
        """Where its answers come from."""
        people = self.calibration.people
        told = f"{people} held-out people" if people else "not calibrated"
        return Provenance(self.card.name, self.hash, seed=seed, calibration=told)

    @property
    def columns(self) -> pd.DataFrame:
        """What can be given and asked for: name, kind, unit, group, labels, levels, limits; one row each."""
        import pandas as pd

        free = [
            {
                "name": c.name, "kind": str(c.kind), "unit": c.unit, "group": c.group,
                "label": c.label_en or c.name, "label_ja": c.label_ja, "levels": ", ".join(c.levels),
                "low": c.low, "high": c.high, "people": self.calibration.known.get(c.name),
                "calculated_from": "",
            }
            for c in self.schema.columns
        ]  # fmt: skip
        derived = [
            {
                "name": d.name, "kind": "continuous", "unit": d.unit, "group": "calculated",
                "label": d.label_en or d.name, "label_ja": d.label_ja, "levels": "",
                "low": d.low, "high": d.high, "people": None, "calculated_from": ", ".join(d.inputs),
            }
            for d in self.schema.derived
        ]  # fmt: skip
        return pd.DataFrame(free + derived).set_index("name")

    def describe(self) -> str:
        """What it is, what it learned from and where it fails, in a few lines."""
        card, c, own = self.card, self.calibration, lessons.own_tables(self)
        lines = [
            f"{card.name} ({self.stage}): {card.summary}".strip(),
            f"{len(self.schema)} free columns, {len(self.schema.derived)} calculated",
            f"learned from {c.trained_on} people, calibrated on {c.people}" if c.people else "not calibrated",
            lessons.meaning_of(self),
            *(f"{'limit of its recipe' if own else 'limit'}: {limit}" for limit in card.known_limits),
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"VirtualHuman({self.card.name!r}, {self.stage}, {len(self.schema)} columns)"

    def _repr_html_(self) -> str:
        from sciai.health.api.html import human_html

        return human_html(self)

    # ---- one person

    def given(self, values: Mapping[str, Any] | pd.Series | None = None, /, **named: Any) -> Person:
        """A person of whom some things are known.

        Args:
            values: column -> value, or a row of a table (columns of no use are then said to be ignored).
            named: column=value; a number is in the column's unit, a text may carry another ("88 umol/L").

        Raises:
            BadInput: naming the field, and the way out.

        >>> VirtualHuman.load().given(age=64, sex="男", creatinine="88 umol/L")
        a person of whom is known: age 64 years, sex male, creatinine 1.00 mg/dL
        """
        return Person(self, Known.nothing(self.schema)).given(values, **named)

    def timeline(self, panels: Any, values: Mapping[str, Any] | None = None, /, **known: Any) -> HealthAnswer:
        """Several dates of one person: changes beyond chance, the course against peers.

        Args:
            panels: a file, table or mapping as ``sciai.health.data.panels.read_panels`` reads it, or its
                result.
            values: what else is known, as for ``given``.
            known: likewise.

        Returns:
            An answer whose value is a ``Timeline``.
        """
        from sciai.health.api.timeline import timeline
        from sciai.health.data.panels import read_panels

        read = panels if isinstance(panels, list | tuple) else read_panels(panels)
        return HealthAnswer.of(timeline(self, read, self.given(values, **known)))

    # ---- many people

    def sample(self, n: int = 1000, seed: int = 0) -> pd.DataFrame:
        """Virtual people: rows of the table, calculated columns consistent; they are nobody's record.

        Args:
            n: how many.
            seed: of the draws.
        """
        return self.given().sample(n, seed)

    @handed_out
    def crowd(
        self, where: Mapping[str, Any] | None = None, n: int = 4000, seed: int = 0, population: bool = False
    ) -> Crowd:
        """Virtual people who fulfil some conditions, with weights.

        Args:
            where: column -> a value, a (low, high) range of a number, or a list of levels.
            n: how many.
            seed: of the draws.
            population: weigh them as the US adult population instead of the survey's sample.
        """
        self._let(where or {})
        return gather(self, where or {}, n, seed, population)

    def _let(self, where: Mapping[str, Any]) -> None:
        """Raises Refused where ``given`` of the same single values would be refused."""
        Person(self, Conditions.read(self.schema, where).known).let()

    @recorded
    def marginal(
        self,
        name: str,
        where: Mapping[str, Any] | None = None,
        population: bool = False,
        n: int = 4000,
        seed: int = 0,
    ) -> HealthAnswer:
        """How one column is distributed among people who fulfil some conditions.

        Args:
            name: a free or calculated column.
            where: column -> a value, a (low, high) range of a number, or a list of levels.
            population: of the US adult population instead of the survey's sample.
            n: virtual people behind the answer.
            seed: of the draws.

        >>> vh = VirtualHuman.load()
        >>> told = vh.marginal("sbp", where={"age": (60, 69), "sex": "male"}, n=500)["sbp"]
        >>> 120 < told.mean < 145
        True
        """
        target = column_named(self.schema, name)
        if population and "w_mec" not in self.schema:
            raise BadInput("the model knows no survey weight", field="population", fix="leave it out")
        if n < 1:
            raise BadInput(f"{n} people", field="n", fix="ask for 1 or more")
        conditions = Conditions.read(self.schema, where or {})
        question = Person(self, conditions.known).question((target,), strange=False)
        before: list[Any] = [*checks.OF_CROWDS, checks.on_the_way_in, checks.pregnant, checks.contradictions]
        # without an age of their own a crowd is not "adults of all ages": its condition may be a range
        before += [checks.age] if "age" in conditions.known.given else [lessons.ages_asked(self, conditions)]

        def predict(_: object) -> Estimate[Told]:
            if population or conditions.derived or target in conditions.names:
                told = gather(self, where or {}, n, seed, population, [target]).distribution(target)
                return Estimate(Told({target: told}), {target: told.interval})
            state = where_state(self.model, conditions, min(n, 256), seed)
            return tell(self.model, state, [target], self.calibration.plain(), "all")

        return HealthAnswer.of(
            ask(
                question,
                predict,
                before=lessons.before(self, before),
                after=checks.AFTER,
                policy=checks.policy(),
                provenance=self.provenance(seed),
            )
        )

    @handed_out
    def joint(
        self,
        names: Sequence[str],
        where: Mapping[str, Any] | None = None,
        population: bool = False,
        n: int = 4000,
        seed: int = 0,
    ) -> Crowd:
        """How several columns are distributed together: virtual people with only these columns.

        Args:
            names: free or calculated columns.
            where: conditions, as for ``marginal``.
            population: weigh them as the US adult population.
            n: how many.
            seed: of the draws.

        Returns:
            A ``Crowd``: ``.table`` (DataFrame), ``.weights``, ``.correlation()``, ``.figure()``.
        """
        wanted = list(dict.fromkeys(column_named(self.schema, n) for n in _several(names)))
        self._let(where or {})
        return gather(self, where or {}, n, seed, population, wanted).only(wanted)

    # ---- tables

    def predict(self, table: pd.DataFrame, column: str, *, progress: bool | None = None) -> pd.DataFrame:
        """One column for every row of a table, gaps and all; the column's own values are not used.

        Args:
            table: any subset of the columns, in their units; others are ignored and named.
            column: what to predict, a free or calculated column.
            progress: show a progress bar on stderr; None shows it from 20,000 rows on.

        Returns:
            Same index. A yes/no column: ``p`` (calibrated), ``low``, ``high``. A category: one column for
            each level. A number: ``mean``, ``sd``, ``q05``, ``q25``, ``q50``, ``q75``, ``q95``, ``low``,
            ``high`` (90 % interval). ``attrs["findings"]`` says what was ignored, as plain mappings.

        Raises:
            BadInput: naming row and column of a value that does not fit.
        """
        from sciai.health.api.tables import predict

        return predict(self, table, column_named(self.schema, column), progress=progress)

    def impute(
        self, table: pd.DataFrame, *, seed: int | None = None, progress: bool | None = None
    ) -> pd.DataFrame:
        """A table with its gaps filled: by what is most expected, or by one joint draw.

        Args:
            table: any subset of the columns; columns that it lacks are not added.
            seed: None fills in medians and likeliest levels; a number draws values jointly, which keeps
                variation and correlation.
            progress: as for ``predict``.
        """
        from sciai.health.api.tables import impute

        return impute(self, table, seed=seed, progress=progress)

    def log_prob(
        self, of: Person | pd.DataFrame | Mapping[str, Any], given: Sequence[str] = (), orders: int = 1
    ) -> Any:
        """Log density of what is known, in nats: one number of a person, a Series of a table.

        Args:
            of: a person, a mapping, or a table.
            given: columns that are conditioned on instead of scored.
            orders: orders of the chain rule that are averaged: the schema's alone, or so many random ones.
        """
        if isinstance(of, Person):
            return of.log_prob(given, orders)
        if isinstance(of, Mapping):
            return self.given(of).log_prob(given, orders)
        from sciai.health.api.tables import log_prob

        mask = np.isin(self.schema.names, [column_named(self.schema, name) for name in given])
        return log_prob(self, of, mask, orders)


def _several(names: str | Sequence[str]) -> list[str]:
    """A list of names; one alone is one.

    Raises:
        BadInput: where there is none.
    """
    several = [names] if isinstance(names, str) else list(names)
    if not several:
        raise BadInput("no column is named", field="names", fix='name one or more, e.g. ["age", "sbp"]')
    return several
