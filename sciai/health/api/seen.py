"""What is the same for every question: a quick look at a combination of values, and how usual answers are.

Checks must not cost what an answer costs, and the network is what an answer costs. So a combination of
numbers is looked at first with the copula that the network is built on, by a few small matrix products: only
what that finds at all unusual is put to the network. And how usual an answer is at an age and sex is asked
once for all ages, in one pass.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, ndtr

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
people as they are one in fifty is asked about, and one in fifteen."""
CLEAR_OF_MANY: Final = 0.5
"""The same where more numbers are judged: of 300 such alarms one was at .28; of 136 fresh ones none was
cleared, one was at .13."""
_FORMS: Final = 64  # sets of known columns that are kept
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
        self._tables: dict[int, tuple[list[float] | None, list[list[float]]]] = {}
        self._forms: dict[bytes, tuple[list[int], int, Floats | None]] = {}
        self._cells: tuple[Any, dict[tuple[str | None, str | None], float]] | None = None
        self._index = {name: k for k, name in enumerate(self.schema.names)}

    def surely_usual(self, values: Floats) -> bool:
        """Whether a person's numbers are so plain together that the network need not be asked about them.

        Args:
            values: what is known, shape (d,), NaN where unknown.

        Returns:
            False where it is not sure, or the model has no copula.
        """
        p, count = self._combination(values)
        return p > next((limit for most, limit in CLEAR if count <= most), CLEAR_OF_MANY)

    def combination_p(self, values: Floats) -> float:
        """P-value of how the judged numbers go together given everything else that is known, by the copula.

        The squared Mahalanobis distance of their normal scores is chi-squared where the copula is right.

        Args:
            values: what is known, shape (d,), NaN where unknown.

        Returns:
            1 where fewer than two numbers are judged; 0 where the model has no copula.
        """
        return self._combination(values)[0]

    def _combination(self, values: Floats) -> tuple[float, int]:
        """Its p-value, and how many numbers are judged."""
        there = np.isfinite(values)
        key = there.tobytes()
        form = self._forms.get(key)
        if form is None:
            if len(self._forms) >= _FORMS:
                self._forms.clear()
            form = self._forms[key] = self._form(there)
        known, count, square = form
        if count < 2:
            return 1.0, count
        if square is None:
            return 0.0, count
        scores: list[float] = []
        for i, x in zip(known, values[known].tolist(), strict=True):
            scores += self._scores(i, x)
        z = np.array(scores)
        return float(chdtrc(count, max(float(z @ square @ z), 0.0))), count

    def _scores(self, i: int, x: float) -> list[float]:
        """Normal scores of a value of column i, from a table: one for each of its latents."""
        table = self._tables.get(i)
        if table is None:
            table = self._tables[i] = self._table(i)
        at, told = table
        if at is None:
            return told[int(x)]
        # of one number, plain Python is quicker than numpy
        k = bisect_right(at, x)
        if k == 0 or k == len(at):
            return told[0] if k == 0 else told[-1]
        share = (x - at[k - 1]) / (at[k] - at[k - 1])
        return [told[k - 1][0] + share * (told[k][0] - told[k - 1][0])]

    def _table(self, i: int) -> tuple[list[float] | None, list[list[float]]]:
        """Values and their scores of a number; the scores of each level of anything else."""
        column, score = self.schema.columns[i], self.copula.score
        if not column.numeric:
            return None, score(i, np.arange(len(column.levels), dtype=float)).tolist()
        at = np.unique(self.copula.layout.margins[i].quantile(ndtr(np.linspace(-4.2, 4.2, 400))))
        return at.tolist(), score(i, at).tolist()

    def _form(self, there: npt.NDArray[np.bool_]) -> tuple[list[int], int, Floats | None]:
        """Which columns are known, how many numbers of them are judged, and the quadratic form of their
        scores that is the squared distance; none where too few are judged or there is no copula."""
        known, count = np.flatnonzero(there).tolist(), int(np.count_nonzero(there & self.judged))
        if count < 2 or self.copula is None:
            return known, count, None
        places = np.flatnonzero(there[self.copula.owner])
        given = np.flatnonzero(~self.judged[self.copula.owner[places]])
        whole = self.copula.correlation[np.ix_(places, places)]
        form = np.linalg.inv(whole)
        if len(given):
            form[np.ix_(given, given)] -= np.linalg.inv(whole[np.ix_(given, given)])
        return known, count, form

    def similar(self, values: Floats, population: Mapping[str, tuple[int, float]]) -> float:
        """Expected number of people learned from of this sex and decade with the rarest given answer.

        One answer at a time: nobody shares all of thirty answers, and the model does not need them to.

        Args:
            values: what is known, shape (d,), NaN where unknown.
            population: "sex|decade|ethnicity" -> (people, mean survey weight) of those learned from.
        """
        age, sex = (float(values[self._index[n]]) if n in self._index else np.nan for n in ("age", "sex"))
        key = (
            None if np.isnan(sex) else self.schema["sex"].levels[int(sex)],
            None if np.isnan(age) else decade(age),
        )
        if self._cells is None or self._cells[0] is not population:
            self._cells = population, _counted(population)
        people = self._cells[1].get(key, 0.0)
        answers = np.flatnonzero(np.isfinite(values) & self._answers)
        if not len(answers) or not people:
            return people
        return people * min(self.share(self.schema.names[i], values) for i in answers.tolist())

    def share(self, name: str, values: Floats) -> float:
        """Share of people of this age and sex who gave the same answer.

        Args:
            name: a column that is no number, known of the person.
            values: what is known, shape (d,), NaN where unknown.
        """
        level = int(values[self._index[name]])
        row = self._row(values)
        if row is not None:
            return float(self._shares[name][row, level])
        asked = np.full((1, len(self.schema)), np.nan)
        for own in ("age", "sex"):
            if own in self._index:
                asked[0, self._index[own]] = values[self._index[own]]
        return float(self._predictive(asked, [name])[name].probabilities()[0, level])

    def _row(self, values: Floats) -> int | None:
        """Row of the table for a person's age and sex, of which either may be unknown; None where none is."""
        age, sex = (float(values[self._index[n]]) if n in self._index else np.nan for n in ("age", "sex"))
        place = len(_AGES) if np.isnan(age) else int(age) - _AGES[0]
        if not np.isnan(age) and (age != int(age) or not 0 <= place < len(_AGES)):
            return None
        levels = len(self.schema["sex"].levels) if "sex" in self._index else 0
        return place * (levels + 1) + (levels if np.isnan(sex) else int(sex))

    @cached_property
    def _shares(self) -> dict[str, Floats]:
        """Of each column that is no number: probability of its levels at every age and sex, unknown last."""
        levels = len(self.schema["sex"].levels) if "sex" in self._index else 0
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
