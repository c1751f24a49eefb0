"""What is the same for every question: a quick look at a combination of values, and how usual answers are.

Checks must not cost what an answer costs, and the network is what an answer costs. So a combination of
numbers is looked at first with the copula that the network is built on, by a few small matrix products: only
what that finds at all unusual is put to the network. And how usual an answer is at an age and sex is asked
once for all ages, in one pass.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, chdtri, ndtr

from sciai.health.model.calibration import JUDGED, decade

if TYPE_CHECKING:
    from sciai.health.model.interface import Joint

__all__ = ["Seen", "seen"]

Floats = npt.NDArray[np.float64]
CLEAR: Final = ((8, 0.01), (20, 0.05))
"""Up to so many numbers judged, the p-value by the copula above which a combination is not put to the
network. The more numbers, the further the network is from the copula. Set by alarms: people whom the network
calls rarer than one in a thousand, validation and calibration people as they are, with half of another's
values, a mistyped or an extreme one. Of 2,460 on up to 8 numbers 2 were cleared, of 1,988 on 9 to 20 one. Of
people as they are one in fifty is asked about, and one in fifteen. Of 2,415 alarms among test people, looked
at once afterwards, none was cleared."""
CLEAR_OF_MANY: Final = 0.5
"""The same where more numbers are judged: of 300 such alarms one was at .28; of 136 fresh ones none was
cleared, one was at .13."""
_Table = tuple["array[float]", "array[float]", list[list[float]] | None]
_LOOKS: Final = 64  # sets of known columns that are kept
_AGES: Final = tuple(range(20, 81))
_KNOWN: Final[WeakKeyDictionary[Any, Seen]] = WeakKeyDictionary()


def seen(joint: Joint) -> Seen:
    """What is kept of a model between questions.

    Args:
        joint: the model.
    """
    found = _KNOWN.get(joint)
    if found is None:
        found = _KNOWN[joint] = Seen(joint)
    return found


@dataclass(frozen=True)
class _Look:
    """What is the same for everybody of whom the same columns are known.

    Attributes:
        tables: their scores; none where the model has no copula.
        answers: those of them that are no numbers.
        judged: how many numbers of them are judged.
        clear: squared distance up to which their combination is not put to the network.
        form: the quadratic form of their scores that is the squared distance; None where too few are judged
            or the model has no copula.
    """

    tables: list[_Table]
    answers: list[str]
    judged: int
    clear: float
    form: Floats | None


class Seen:
    """What is kept of one model.

    Args:
        joint: the model.
    """

    def __init__(self, joint: Joint) -> None:
        self.schema = joint.schema
        self.copula: Any = getattr(joint, "copula", None)
        self.judged = np.array(
            [c.numeric and c.group in JUDGED and c.name not in ("age", "sex") for c in self.schema.columns]
        )
        self._answers = np.array(
            [not c.numeric and c.group != "design" and c.name != "sex" for c in self.schema.columns]
        )
        self._predictive = joint.predictive
        self._tables: dict[int, _Table] = {}
        self._looks: dict[tuple[str, ...], _Look] = {}
        self._cells: tuple[Any, dict[tuple[str | None, str | None], float]] | None = None
        self._index = {name: k for k, name in enumerate(self.schema.names)}
        self._sexes = self.schema["sex"].levels if "sex" in self._index else ()

    def surely_usual(self, known: Mapping[str, float]) -> bool:
        """Whether a person's numbers are so plain together that the network need not be asked about them.

        Args:
            known: free columns that are known, in the schema's order, and their values.

        Returns:
            False where it is not sure, or the model has no copula.
        """
        look = self._look(known)
        return look.judged < 2 or (look.form is not None and self._distance(look, known) < look.clear)

    def combination_p(self, known: Mapping[str, float]) -> float:
        """P-value of how the judged numbers go together given everything else that is known, by the copula.

        The squared Mahalanobis distance of their normal scores is chi-squared where the copula is right.

        Args:
            known: free columns that are known, in the schema's order, and their values.

        Returns:
            1 where fewer than two numbers are judged; 0 where the model has no copula.
        """
        look = self._look(known)
        if look.judged < 2 or look.form is None:
            return 1.0 if look.judged < 2 else 0.0
        return float(chdtrc(look.judged, self._distance(look, known)))

    def _distance(self, look: _Look, known: Mapping[str, float]) -> float:
        """Squared, of the judged numbers given everything else."""
        scores: list[float] = []
        for (at, told, levels), x in zip(look.tables, known.values(), strict=True):
            if levels is not None:
                scores += levels[int(x)]
                continue
            # of one number, plain Python is quicker than numpy
            k = bisect_right(at, x)
            if k == 0 or k == len(at):
                scores.append(told[min(k, len(at) - 1)])
            else:
                share = (x - at[k - 1]) / (at[k] - at[k - 1])
                scores.append(told[k - 1] + share * (told[k] - told[k - 1]))
        z = np.array(scores)
        return max(float(z @ look.form @ z), 0.0)

    def _table(self, i: int) -> _Table:
        """Values of a number and their scores; of anything else the scores of each level."""
        found = self._tables.get(i)
        if found is None:
            column, score = self.schema.columns[i], self.copula.score
            if not column.numeric:
                found = array("d"), array("d"), score(i, np.arange(len(column.levels), dtype=float)).tolist()
            else:
                at = np.unique(self.copula.layout.margins[i].quantile(ndtr(np.linspace(-4.2, 4.2, 400))))
                found = array("d", at), array("d", score(i, at)[:, 0]), None
            self._tables[i] = found
        return found

    def _look(self, known: Mapping[str, float]) -> _Look:
        """What is the same for everybody of whom the same columns are known."""
        key = tuple(known)
        found = self._looks.get(key)
        if found is None:
            if len(self._looks) >= _LOOKS:
                self._looks.clear()
            there = np.isin(self.schema.names, key)
            judged = int(np.count_nonzero(there & self.judged))
            found = self._looks[key] = _Look(
                [self._table(i) for i in np.flatnonzero(there).tolist()] if self.copula is not None else [],
                [self.schema.names[i] for i in np.flatnonzero(there & self._answers)], judged,
                float(chdtri(max(judged, 1), next((p for n, p in CLEAR if judged <= n), CLEAR_OF_MANY))),
                None if judged < 2 or self.copula is None else self._form(there),
            )  # fmt: skip
        return found

    def _form(self, there: npt.NDArray[np.bool_]) -> Floats:
        """The quadratic form of scores that is the squared distance, for these known columns."""
        places = np.flatnonzero(there[self.copula.owner])
        given = np.flatnonzero(~self.judged[self.copula.owner[places]])
        whole = self.copula.correlation[np.ix_(places, places)]
        form = np.linalg.inv(whole)
        if len(given):
            form[np.ix_(given, given)] -= np.linalg.inv(whole[np.ix_(given, given)])
        return form

    def similar(self, known: Mapping[str, float], population: Mapping[str, tuple[int, float]]) -> float:
        """Expected number of people learned from of this sex and decade with the rarest given answer.

        One answer at a time: nobody shares all of thirty answers, and the model does not need them to.

        Args:
            known: free columns that are known, in the schema's order, and their values.
            population: "sex|decade|ethnicity" -> (people, mean survey weight) of those learned from.
        """
        age, sex = known.get("age"), known.get("sex")
        key = None if sex is None else self._sexes[int(sex)], None if age is None else decade(age)
        if self._cells is None or self._cells[0] is not population:
            self._cells = population, _counted(population)
        people = self._cells[1].get(key, 0.0)
        answers = self._look(known).answers
        if not answers or not people:
            return people
        return people * min(self.share(name, known) for name in answers)

    def share(self, name: str, known: Mapping[str, float]) -> float:
        """Share of people of this age and sex who gave the same answer.

        Args:
            name: a column that is no number, known of the person.
            known: free columns that are known, and their values; this one among them.
        """
        level = int(known[name])
        row = self._row(known)
        if row is not None:
            return float(self._shares[name][row, level])
        asked = np.full((1, len(self.schema)), np.nan)
        for own in ("age", "sex"):
            if own in known:
                asked[0, self._index[own]] = known[own]
        return float(self._predictive(asked, [name])[name].probabilities()[0, level])

    def _row(self, known: Mapping[str, float]) -> int | None:
        """Row of the table for a person's age and sex, of which either may be unknown; None where none is."""
        age, sex = known.get("age"), known.get("sex")
        place = len(_AGES) if age is None else int(age) - _AGES[0]
        if age is not None and (age != int(age) or not 0 <= place < len(_AGES)):
            return None
        levels = len(self._sexes)
        return place * (levels + 1) + (levels if sex is None else int(sex))

    @cached_property
    def _shares(self) -> dict[str, Floats]:
        """Of each column that is no number: probability of its levels at every age and sex, unknown last."""
        levels = len(self._sexes)
        rows = np.full(((len(_AGES) + 1) * (levels + 1), len(self.schema)), np.nan)
        if "age" in self._index:
            rows[:, self._index["age"]] = np.repeat([*_AGES, np.nan], levels + 1)
        if levels:
            rows[:, self._index["sex"]] = np.tile([*range(levels), np.nan], len(_AGES) + 1)
        names = [c.name for c in self.schema.columns if not c.numeric and c.name != "sex"]
        told = self._predictive(rows, names)
        return {name: np.asarray(told[name].probabilities(), float) for name in names}


def _counted(population: Mapping[str, tuple[int, float]]) -> dict[tuple[str | None, str | None], float]:
    """People of each sex and decade, of each alone, and of all."""
    found: dict[tuple[str | None, str | None], float] = {}
    for cell, (people, _) in population.items():
        sex, age, _ = cell.split("|")
        for key in ((sex, age), (sex, None), (None, age), (None, None)):
            found[key] = found.get(key, 0.0) + people
    return found
