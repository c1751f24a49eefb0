"""Do answers jump where a group begins?

What is done to a group afterwards, by a rule, begins at its border all at once, and what a model learned does
not: a regression discontinuity (Thistlethwaite and Campbell 1960, J. Educational Psychology 51; Hahn et al.
2001, Econometrica 69). Answers are compared with answers, so the chance of labels plays no part. Groups that
are a yes or no themselves have no border; the tools ``groups`` and ``unlearned`` look at those.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sciai.trust.audit.subject import Subject

__all__ = ["jump_at_borders"]

Floats = npt.NDArray[np.float64]


def jump_at_borders(subject: Subject) -> tuple[float, str]:
    """How far the largest jump of answers at a group's border lies beyond chance, and where it is.

    Args:
        subject: the model.

    Returns:
        1 and how far the jump lies beyond what matters, in standard errors; 0 where no group has a border
        that could be looked at; and what jumps, in words.
    """
    rows = np.concatenate([subject.fresh_inputs, subject.inputs])
    told = subject.ask(rows)
    seen = np.asarray((subject.alike or (lambda questions: questions))(rows), float)
    yes_no = len(np.unique(subject.targets)) == 2 and told.min() >= 0 and told.max() <= 1
    floor = None if yes_no else float(np.quantile(told, 0.05))
    told = _logit(told) if yes_no else told  # a share of a risk is a step of its logit
    worst, what, looked = 0.0, "nothing jumps where a group begins", False
    for name, group in subject.groups.items():
        found = _border(seen, group(rows))
        if found is not None:
            ways = [_jump(seen, told, *found, floor, subject.matters)]
            place, cut = found
            own = [c for c in range(rows.shape[1]) if np.array_equal(rows[:, c], seen[:, place])]
            if own:
                ways.append(_moved_across(subject, rows, own[0], cut, floor))
            looked |= any(way is not None for way in ways)
            score, share = max((way for way in ways if way is not None), default=(0.0, 0.0))
            if score > worst:
                size = f"{abs(np.expm1(share)):.0%}" if yes_no else f"{abs(share):.0%}"
                worst, what = score, f"{name}: answers jump by about {size} where the group begins"
    # of honest models the step is a few standard errors or none: from 1 on its logarithm is near normal
    return (
        (1 + worst, what) if looked else (0.0, "no group begins at a number with enough questions around it")
    )


def _border(seen: Floats, member: npt.NDArray[np.bool_]) -> tuple[int, float] | None:
    """The feature, and its value, beyond which the group lies; None where it is not one feature's doing."""
    best, found = 0.97, None
    for place in range(seen.shape[1]):
        values = seen[:, place]
        if len(np.unique(values)) < 20:
            continue
        order = np.argsort(values, kind="stable")
        above = member[order]
        # of every cut: members above it and others below it, or the other way round
        right = np.cumsum(~above)[:-1] + np.cumsum(above[::-1])[::-1][1:]
        for share, cut in ((right.max(), right.argmax()), (len(above) - right.min(), right.argmin())):
            if share > best * len(above):
                best = float(share) / len(above)
                found = place, float(values[order[cut]] + values[order[cut + 1]]) / 2
    return found


def _logit(risk: Floats) -> Floats:
    inside = np.clip(risk, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)))


def _unit(told: Floats, floor: float | None) -> float:
    """What a step of 1 is in the answers' unit: of a logit, or as a share of what lies above the floor."""
    size = told * (1 - told) if floor is None else np.abs(told - floor)
    return max(float(np.mean(size)), 1e-9)


def _risk(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logit)))


def _moved_across(
    subject: Subject, rows: Floats, column: int, cut: float, floor: float | None
) -> tuple[float, float] | None:
    """What moving everybody across a border changes, beside steps as wide elsewhere; and its size as a share.
    None where there is too little around it.

    Args:
        subject: the model.
        rows: questions, shape (n, d).
        column: the one whose border it is.
        cut: where.
        floor: what answers are shrunk towards; None where they are risks.
    """
    values = rows[:, column]
    apart = np.diff(np.unique(values))
    half = max(0.05 * float(values.std()), float(np.median(apart)))  # wider than the border is known
    steps = [k for k in range(-7, 8) if k == 0 or abs(k) > 1]
    found, usual = np.full(len(steps), np.nan), 1.0
    for number, step in enumerate(steps):
        at = cut + 2 * half * step
        if not values.min() <= at - half <= at + half <= values.max():
            continue
        both = np.concatenate([rows, rows])  # in one batch, whatever a model makes of batches
        both[: len(rows), column], both[len(rows) :, column] = at - half, at + half
        told = subject.ask(both)
        before, after = told[: len(rows)], told[len(rows) :]
        size = _unit((before + after) / 2, floor)
        if step == 0:
            usual = size
        if floor is None:
            found[number] = float(np.mean(_logit(after) - _logit(before)))
        else:
            found[number] = float(np.mean(after - before)) / size
    here = steps.index(0)
    elsewhere = np.isfinite(found) & (np.arange(len(steps)) != here)
    if np.isnan(found[here]) or elsewhere.sum() < 5:
        return None
    place = np.array(steps, float)
    bend = np.polynomial.Polynomial.fit(place[elsewhere], found[elsewhere], 2)
    rough = float(np.sqrt(np.mean((found - bend(place))[elsewhere] ** 2)))
    share = float(found[here] - bend(0.0))
    return max(abs(share) - subject.matters / usual, 0.0) / (rough + 0.01), share


def _jump(
    seen: Floats, told: Floats, place: int, cut: float, floor: float | None, matters: float, near: int = 300
) -> tuple[float, float] | None:
    """Size of the step of answers at a border in standard errors (White 1980, Econometrica 48), and itself.
    None where there are too few questions around it.

    Args:
        seen: features, shape (n, d).
        told: answers, shape (n,).
        place: the feature whose border it is.
        cut: where.
        floor: what answers are shrunk towards: the step is a share of how far they lie above it; None takes
            the same step for all.
        matters: size of a step that is worth a word, in the answers' unit.
        near: rows on either side.
    """
    values = seen[:, place]
    above, below = np.flatnonzero(values > cut), np.flatnonzero(values <= cut)
    if min(len(above), len(below)) < 60:
        return None
    near = min(near, len(above), len(below))
    rows = np.concatenate(
        [
            above[np.argsort(values[above], kind="stable")[:near]],
            below[np.argsort(-values[below], kind="stable")[:near]],
        ]
    )
    x = (seen[rows] - seen[rows].mean(0)) / (seen[rows].std(0) + 1e-9)
    along = x[:, place]
    smooth = np.column_stack([np.ones(len(rows)), x, x**2, x * along[:, None], along**3])
    if len(rows) < 3 * smooth.shape[1]:
        return None  # so many features explain any step away, or make one
    gram = smooth.T @ smooth
    gram[np.diag_indices(len(gram))] += 1e-6 * np.trace(gram) / len(gram)
    fit = smooth @ np.linalg.solve(gram, smooth.T)
    answers, step = told[rows], (values[rows] > cut).astype(float)
    if floor is not None:
        step *= fit @ answers - floor
    off, step = answers - fit @ answers, step - fit @ step
    power = float(step @ step)
    if power <= 1e-12 * len(rows):
        return None
    share = float(step @ off) / power
    error = float(np.sqrt(((step * (off - share * step)) ** 2).sum())) / power
    least = matters / _unit(_risk(told[rows]) if floor is None else told[rows], floor)
    return max(abs(share) - least, 0.0) / (error + 1e-9), share
