"""One person, of whom some things are known, and the questions one can ask about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciai.core.answer import Estimate, Finding, Level, Provenance, ask
from sciai.core.errors import BadInput
from sciai.core.listen import quietly
from sciai.health import checks
from sciai.health.api.distribution import HealthAnswer, Told
from sciai.health.api.infer import DRAWS, MANY, SPARE, State, even_draws, generator, state_of, tell
from sciai.health.api.known import Known
from sciai.health.api.lessons import unheard
from sciai.health.api.record import handed_out, recorded
from sciai.health.api.seen import seen
from sciai.health.api.table_notes import attach
from sciai.health.api.words import column_named
from sciai.health.data.columns import Schema
from sciai.health.model.calibration import group_of

if TYPE_CHECKING:
    import pandas as pd

    from sciai.health.api.human import VirtualHuman

__all__ = ["Person"]

PEERS: Final = ("age", "sex")
_FEW_DRAWS: Final = 6.0  # that carry an answer under constraints; of people as they are 1 in 100 has fewer


class Person:
    """A person of whom some things are known; made by ``VirtualHuman.given``. Immutable.

    >>> from sciai.health import VirtualHuman
    >>> me = VirtualHuman.load().given(age=64, sex="male", hba1c="5.5 %", ldl="140 mg/dL", rx_bp=True)
    >>> answer = me.ask("dx_diabetes", "egfr")
    >>> 0.0 < answer["dx_diabetes"].probability < 0.5, answer["egfr"].unit
    (True, 'mL/min/{1.73_m2}')
    """

    def __init__(self, human: VirtualHuman, known: Known) -> None:
        self.human = human
        self.known = known

    # ---- what is known

    def given(self, values: Mapping[str, Any] | pd.Series | None = None, /, **named: Any) -> Person:
        """The same person with more known; a value given again replaces the earlier one.

        Args:
            values: column -> value, where names are no Python words or come from a table.
            named: column=value; a number is in the column's unit, a text may carry another ("88 umol/L").

        Raises:
            BadInput: naming the field, and the way out.
        """
        row = {str(k): v for k, v in dict(values).items()} if values is not None else {}
        known = (
            self.known.add(row, lenient=values is not None and hasattr(values, "index"))
            if row
            else self.known
        )
        return Person(self.human, known.add(named) if named else known)

    def without(self, *names: str) -> Person:
        """The same person with some values unknown again."""
        return Person(self.human, self.known.drop(*names))

    @property
    def schema(self) -> Schema:
        """The columns of the model."""
        return self.known.schema

    @property
    def values(self) -> dict[str, float]:
        """Everything known, given or calculated, in the columns' units; levels by their number."""
        names = [*self.known.names, *(d.name for d in self.schema.derived)]
        found = {name: self.known.value(name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def findings(self) -> tuple[Any, ...]:
        """What was found about the values alone: conversions, contradictions, an unusual combination."""
        with quietly():  # a look at the values, no answer
            return HealthAnswer.of(self._answer((), lambda _: Estimate(Told({}), 0.0))).findings

    @cached_property
    def state(self) -> State:
        """The person as the model sees them; more rows where several constraints thin them out."""
        open_ = len(self.known.waiting)
        return state_of(self.human.model, self.known, min(DRAWS * 2 ** max(open_ - 2, 0), MANY[0]))

    @cached_property
    def group(self) -> str:
        """Sex and age band, by which intervals are calibrated; "all" where one of them is unknown."""
        sex = self.known.value("sex") if "sex" in self.schema else None
        age = self.known.value("age") if "age" in self.schema else None
        return group_of(None if sex is None else self.schema["sex"].levels[int(sex)], age)

    # ---- questions

    @recorded
    def ask(self, *targets: str | Sequence[str]) -> HealthAnswer:
        """How columns are distributed for a person like this one.

        Args:
            targets: free or calculated columns, one by one or as a list.

        Returns:
            An answer whose value is a ``Told``: target -> ``Distribution``. One refused target refuses the
            answer, and says which.

        Raises:
            BadInput: no target, or a name of no column; with the closest names.
        """
        asked = [name for target in targets for name in ([target] if isinstance(target, str) else target)]
        if not asked:
            raise BadInput("nothing was asked for", field="targets", fix='name a column, e.g. ask("egfr")')
        names = tuple(dict.fromkeys(column_named(self.schema, name) for name in asked))
        return HealthAnswer.of(
            self._answer(
                names, lambda _: tell(self.human.model, self.state, names, self.human.calibration, self.group)
            )
        )

    @recorded
    def risks(self, peers: Sequence[str] = PEERS, drivers: int = 4) -> HealthAnswer:
        """Every disease: risk, 90 % interval, peers' risk, ratio, what drives it, or that it cannot be told.

        Args:
            peers: columns in which the person's peers are like them.
            drivers: how many values to name for each risk.

        Returns:
            An answer whose value is a ``RiskList``.
        """
        from sciai.health.api.risks import risks

        shared = self._peers(peers)
        return HealthAnswer.of(self._answer((), lambda _: risks(self, shared, drivers)))

    @recorded
    def unusual(self, peers: Sequence[str] = PEERS, seed: int = 0) -> HealthAnswer:
        """How usual the values are, one by one and together, among peers.

        Args:
            peers: columns in which the person's peers are like them.
            seed: of the virtual peers.

        Returns:
            An answer whose value is a ``Typicality``.
        """
        from sciai.health.api.unusual import unusual

        shared = self._peers(peers)
        return HealthAnswer.of(
            self._answer((), lambda _: unusual(self, shared, seed), strange=False, seed=seed)
        )

    def _peers(self, named: Sequence[str]) -> tuple[str, ...]:
        """Age and sex, unless others were named, as far as the model has them."""
        return tuple(n for n in named if n in self.schema or tuple(named) != PEERS)

    @recorded
    def what_if(self, targets: Sequence[str] = (), /, **changes: Any) -> HealthAnswer:
        """How people differ who are like this one but for some values: association, not effect.

        Args:
            targets: what to compare; every disease and some values where empty.
            changes: column=change for a number (-2 is "two less"; where it is not known, than the middle of
                people like this one), column=new value for a level.

        Returns:
            An answer whose value is a ``Comparison``.
        """
        from sciai.health.api.what_if import what_if

        return what_if(self, (targets,) if isinstance(targets, str) else tuple(targets), changes)

    @handed_out
    def sample(self, n: int = 1000, seed: int = 0) -> pd.DataFrame:
        """Virtual people of whom the same is known: every column filled in, calculated ones consistent.

        Args:
            n: how many.
            seed: of the draws.
        """
        if n < 1 or n != int(n):
            raise BadInput(f"{n} people", field="n", fix="ask for 1 or more, a whole number")
        self.let()
        n, rng = int(n), generator(seed)
        state = self.state.about(self.state.filled, min(max(SPARE * n, MANY[0]), MANY[1]))
        chosen = even_draws(state, n, rng)
        told = self.schema.decode(self.human.model.sample(state.rows[chosen], rng))
        again = n - len(np.unique(chosen))
        found = []
        if state.filled and again:
            shared = ", ".join(sorted(state.filled))
            said = f"{again} of {n} people share {shared} with another one, as few fit what was given"
            found.append(Finding("repeated", Level.OK, said))
        if empty := [name for name in unheard(self.human) if name not in self.known.given]:
            told[empty] = np.nan
            said = f"hardly anybody it learned from has {', '.join(empty)}: left empty"
            found.append(Finding("few_cases", Level.CAUTION, said))
        if found:
            attach(found, told)
        return told

    @handed_out
    def log_prob(self, given: Sequence[str] = (), orders: int = 1) -> float:
        """Log density of what is known, in nats: of the values together, given some of them.

        Of calculated values whose inputs are not all known it is estimated, by weighted draws.

        Args:
            given: columns that are conditioned on instead of scored.
            orders: orders of the chain rule that are averaged: the schema's alone, or so many random ones.
        """
        schema = self.schema
        named = [column_named(schema, name) for name in given]
        rng = np.random.default_rng(0) if orders > 1 else None
        fixed = np.isin(schema.names, named)
        own = self.human.model.log_prob(self.known.values[None, :], fixed, orders, rng)[0]
        # calculated values whose inputs are open are no columns, but known all the same
        told = [n for n in self.known.waiting if n in named]
        some = self.without(*(n for n in self.known.given if n not in named)) if told else None
        return float(own) + self._evidence() - (some._evidence() if some is not None else 0.0)

    def _evidence(self) -> float:
        return state_of(self.human.model, self.known, MANY[0]).evidence

    # ---- how

    def _answer(
        self,
        targets: tuple[str, ...],
        predict: Any,
        *,
        strange: bool = True,
        risky: bool = False,
        seed: int = 0,
    ) -> Any:
        question = self.question(targets, strange=strange)
        return ask(
            question,
            predict,
            before=self.human.before,
            after=checks.AFTER,
            policy=checks.policy(),
            provenance=self._provenance(seed),
            govern=checks.govern,
        )

    def question(self, targets: tuple[str, ...] = (), *, strange: bool = True) -> checks.Question:
        """The question as the guards see it.

        Args:
            targets: what is asked for.
            strange: look at the combination of values too.
        """
        return checks.Question(
            self.schema, self.known.free, self.known.given, targets, self.human.calibration,
            (*self.known.findings, *self._thin()), self.group,
            (lambda: self.strangeness) if strange else None,
            (lambda: self.similar) if self.human.calibration.population else None, self.known.waiting,
            self.human.standing, (lambda: seen(self.human.model).surely_usual(self.known.free)),
        )  # fmt: skip

    def _thin(self) -> tuple[Finding, ...]:
        """Whether few draws carry the weight where calculated values are constraints."""
        if not self.known.waiting:
            return ()
        carried = 1 / float((self.state.weights**2).sum())
        if carried >= _FEW_DRAWS:
            return ()
        names = ", ".join(self.known.waiting)
        said = (
            f"hardly any body drawn fits {names} (some {carried:.0f} carry the answer): its figures are rough"
        )
        return (Finding("constraint", Level.CAUTION, f"{said}; give what they are calculated from"),)

    @cached_property
    def strangeness(self) -> float:
        """Share of people whose numbers go together more strangely than this person's; 1 for one number."""
        from sciai.health.api.unusual import strangeness

        return strangeness(self)

    @cached_property
    def similar(self) -> float:
        """How many people of this sex and decade with the rarest given answer were learned from.

        Numbers other than age do not count (see ``strangeness`` for those).
        """
        return seen(self.human.model).similar(self.known.free, self.human.calibration.population)

    def let(self) -> None:
        """Nothing, where figures about such people may be handed out.

        Raises:
            Refused: where the guards refuse to say anything of them; with the reasons.
        """
        with quietly():  # told as one, with what is handed out
            self._answer((), lambda _: Estimate(0, 0.0)).unwrap()

    def _provenance(self, seed: int) -> Provenance:
        return self.human.provenance(seed)

    def __str__(self) -> str:
        names = list(self.known.given)
        text = ", ".join(f"{name} {self.known.shown(name)}" for name in names)
        return f"a person of whom is known: {text}" if text else "a person of whom nothing is known"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from sciai.health.api.html import person_html

        return person_html(self)
