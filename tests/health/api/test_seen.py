"""Checks that read tables say what the model says, and a quick look lets nothing strange through."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.health import VirtualHuman
from sciai.health.api.seen import Seen, seen


@pytest.fixture(scope="module")
def human() -> VirtualHuman:
    return VirtualHuman.load()


PLAIN = {"age": 50, "sex": "male", "weight_kg": 82, "height_cm": 176, "sbp": 124, "hba1c": 5.5, "hdl": 48}


def test_shares_are_the_models(human: VirtualHuman) -> None:
    usual, schema = seen(human.model), human.schema
    for given in ({"age": 50, "sex": "male"}, {"age": 80}, {"sex": "female"}, {}):
        person = human.given({**given, "dx_diabetes": True, "smoking": "never"})
        asked = np.full((1, len(schema)), np.nan)
        for name in given:
            asked[0, schema.index(name)] = person.known.value(name)
        for name in ("dx_diabetes", "smoking"):
            told = human.model.predictive(asked, [name])[name].probabilities()[0]
            level = int(person.known.value(name) or 0)
            assert usual.share(name, person.known.free) == pytest.approx(told[level], abs=1e-5)


def test_the_distance_is_that_of_the_scores(human: VirtualHuman) -> None:
    from scipy.stats import chi2

    usual, copula = seen(human.model), human.model.copula
    person = human.given(PLAIN)
    values = person.known.values
    z = copula.scores(values[None])[0]
    known = np.isfinite(z)
    own = known & usual.judged[copula.owner]
    rest = known & ~own
    r = copula.correlation
    weights = np.linalg.solve(r[np.ix_(rest, rest)], r[np.ix_(rest, own)])
    off = z[own] - z[rest] @ weights
    within = r[np.ix_(own, own)] - r[np.ix_(rest, own)].T @ weights
    p = chi2.sf(off @ np.linalg.solve(within, off), int(own.sum()))
    assert usual.combination_p(person.known.free) == pytest.approx(p, rel=0.05)


def test_a_strange_combination_is_put_to_the_model_and_a_plain_one_is_not(
    human: VirtualHuman, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    from sciai.health.api import unusual

    own = unusual.strangeness
    monkeypatch.setattr(unusual, "strangeness", lambda person: asked.append("") or own(person))
    plain = human.given(PLAIN).ask("ldl")
    assert not asked
    assert "outlier" not in {f.check for f in plain.findings}
    odd = human.given({**PLAIN, "weight_kg": 182, "height_cm": 150, "waist_cm": 62}).ask("ldl")
    assert asked
    assert "outlier" in {f.check for f in odd.findings}


def test_without_a_copula_the_model_is_always_asked(human: VirtualHuman) -> None:
    class Other:
        schema = human.schema
        predictive = human.model.predictive

    other = Seen(Other())  # type: ignore[arg-type]
    assert not other.surely_usual(human.given(PLAIN).known.free)
    assert other.surely_usual(human.given(age=50, sbp=120).known.free)  # one number is no combination


def test_what_is_kept_is_kept_per_model_and_bounded(human: VirtualHuman) -> None:
    usual = seen(human.model)
    assert seen(human.model) is usual
    names = [c.name for c in human.schema.columns if c.numeric and c.group in ("lab", "body")][:12]
    rng = np.random.default_rng(0)
    for _ in range(200):
        chosen = rng.permutation(len(names))[:4]
        columns = [human.schema[names[k]] for k in sorted(chosen)]
        known = {column.name: (column.low + column.high) / 2 for column in columns}
        assert 0 <= usual.combination_p(known) <= 1
    assert len(usual._looks) <= 64
