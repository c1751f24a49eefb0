"""What an auditor may see of a model: how it answers, the data it is said to come from, what it claims."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput

__all__ = ["Candidate", "Relation", "Subject", "remembered"]

Floats = npt.NDArray[np.float64]
Context = Mapping[str, object]


@dataclass(frozen=True)
class Relation:
    """A law that answers have to follow when the question is changed in a known way (metamorphic testing).

    Chen et al. 2018, "Metamorphic Testing: A Review of Challenges and Opportunities", ACM Computing Surveys
    51.

    Attributes:
        name: the law, such as "rotation".
        change: questions (n, d), random generator -> changed questions (n, d).
        expected: answers to the unchanged ones (n,) -> what the changed ones have to give (n,).
        tolerance: how far an honest model may be off, as a share of the standard deviation of its answers.
    """

    name: str
    change: Callable[[Floats, np.random.Generator], Floats]
    expected: Callable[[Floats], Floats]
    tolerance: float


@dataclass(frozen=True)
class Candidate:
    """A small change of the question that should not matter more than another one just like it.

    Attributes:
        name: what it is, such as "glucose ends in 7".
        with_it: questions (n, d) -> questions that carry it.
        twins: questions -> the same with a change just like it that carries something else, on either side
            where there are sides, so that a trend cancels.
    """

    name: str
    with_it: Callable[[Floats], Floats]
    twins: tuple[Callable[[Floats], Floats], ...]


@dataclass(frozen=True)
class Subject:
    """A model under audit.

    Attributes:
        domain: whose.
        answer: questions (n, d) and a context -> answers (n,); the model's API.
        inputs, targets: what it was trained on, shape (n, d) and (n,).
        fresh_inputs, fresh_targets: trusted questions and truths that it has not seen.
        columns: names of the d columns.
        alike: questions -> features in which questions that are alike lie near each other; None takes the
            columns.
        groups: name -> questions (n, d) -> who belongs to it, bool, shape (n,).
        matters: difference between a group's mean error and the others' that is worth a word, in the targets'
            unit; 0 takes whatever chance does not explain.
        relations: laws of the domain.
        candidates: changes to search for triggers among.
        irrelevant: columns that must not matter.
        contexts: in which the API can be asked; the first is that of evaluation.
        claims: name -> figure that is reported of it on the fresh questions.
        metrics: name -> how the figure is computed from answers and truths; smaller is better.
    """

    domain: str
    answer: Callable[[Floats, Context], npt.ArrayLike]
    inputs: Floats
    targets: Floats
    fresh_inputs: Floats
    fresh_targets: Floats
    columns: Sequence[str]
    alike: Callable[[Floats], Floats] | None = None
    groups: Mapping[str, Callable[[Floats], npt.NDArray[np.bool_]]] = field(default_factory=dict)
    matters: float = 0.0
    relations: Sequence[Relation] = ()
    candidates: Sequence[Candidate] = ()
    irrelevant: Sequence[str] = ()
    contexts: Sequence[Context] = ({},)
    claims: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, Callable[[Floats, Floats], float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for questions, truths, what in (
            (self.inputs, self.targets, "training"),
            (self.fresh_inputs, self.fresh_targets, "fresh"),
        ):
            if questions.ndim != 2 or questions.shape != (len(truths), len(self.columns)) or len(truths) < 20:
                raise BadInput(
                    f"{what} questions of shape {questions.shape} for {len(truths)} truths and "
                    f"{len(self.columns)} columns",
                    fix="give 20 or more rows, one column for each name",
                )
        if not self.contexts:
            raise BadInput("no context to ask in", field="contexts")
        wrong = sorted(set(self.irrelevant) - set(self.columns)) + sorted(
            set(self.claims) - set(self.metrics)
        )
        for name, group in self.groups.items():
            if group(self.fresh_inputs).shape != self.fresh_targets.shape:
                wrong.append(name)
        if wrong:
            raise BadInput(f"not among columns, metrics, or of the wrong length: {wrong}")

    def ask(self, questions: Floats, context: int = 0) -> Floats:
        """Answers in one of the contexts.

        Args:
            questions: shape (n, d).
            context: number of the context; 0 is evaluation.

        Raises:
            BadInput: where the API gives anything but one finite number for each question.
        """
        told = np.asarray(self.answer(questions, self.contexts[context]), float)
        if told.shape != (len(questions),) or not np.isfinite(told).all():
            raise BadInput(f"the model gave answers of shape {told.shape} for {len(questions)} questions")
        return told

    @property
    def scale(self) -> float:
        """Standard deviation of the answers to the fresh questions: the unit of everything the tools find."""
        return float(self.ask(self.fresh_inputs).std()) or 1.0


def remembered(
    answer: Callable[[Floats, Context], npt.ArrayLike],
) -> Callable[[Floats, Context], Floats]:
    """An API that is asked only once for the same questions in the same context.

    For models that are slow and draw nothing: the auditor's tools ask many questions again, above all where a
    planted defect stands around a model that was examined before.

    Args:
        answer: as of ``Subject``.

    >>> asked = []
    >>> def slow(rows, context):
    ...     asked.append(len(rows))
    ...     return rows[:, 0]
    >>> quick = remembered(slow)
    >>> [quick(np.ones((2, 1)), {}).tolist() for _ in range(3)], asked
    ([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]], [2])
    """
    known: dict[tuple[bytes, str], Floats] = {}

    def told(rows: Floats, context: Context) -> Floats:
        key = hashlib.sha256(np.asarray(rows, float).tobytes()).digest(), repr(sorted(context.items()))
        if key not in known:
            known[key] = np.asarray(answer(rows, context), float)
        return known[key].copy()

    return told
