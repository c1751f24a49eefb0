"""False alarms at the stated rate, alarms where it is foreign, and agreement with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.trust.support import Knn, KnnOfKind, Mahalanobis, Support, ledoit_wolf


def _mixed(rng: np.random.Generator, n: int) -> np.ndarray:
    """Correlated features in very different units."""
    return rng.normal(size=(n, 4)) @ rng.normal(size=(4, 4)) * [1, 100, 0.01, 5] + [0, 7, 1, -3]


@pytest.mark.parametrize(("n", "d"), [(200, 5), (10, 30), (3, 3)])
def test_ledoit_wolf_agrees_with_sklearn(n: int, d: int) -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    x = np.random.default_rng(n).normal(size=(n, d)) * np.linspace(1, 5, d)
    oracle = covariance.LedoitWolf().fit(x)
    ours, share = ledoit_wolf(x)
    np.testing.assert_allclose(ours, oracle.covariance_, rtol=1e-10)
    assert share == pytest.approx(oracle.shrinkage_, rel=1e-10)


def test_mahalanobis_agrees_with_sklearn() -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    x = _mixed(np.random.default_rng(0), 300)
    oracle = covariance.EmpiricalCovariance().fit(x)
    ours = Mahalanobis.fit(x, shrinkage=0.0)
    np.testing.assert_allclose(ours.distance(x) ** 2, oracle.mahalanobis(x), rtol=1e-6)


def test_knn_agrees_with_sklearn() -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    rng = np.random.default_rng(1)
    x, new = _mixed(rng, 200), _mixed(rng, 50)
    scale = x.std(0)
    near, _ = neighbors.NearestNeighbors(n_neighbors=5).fit(x / scale).kneighbors(new / scale)
    np.testing.assert_allclose(Knn.fit(x, k=5).distance(new), near.mean(1), rtol=1e-9)


@pytest.mark.parametrize("make", [Mahalanobis.fit, Knn.fit])
@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_false_alarms_stay_at_the_rate(make, rate: float) -> None:
    rng = np.random.default_rng(2)
    alarms = []
    for _ in range(60):  # over draws of the held-out set: the promise is about the mean over them
        x = rng.standard_t(4, size=(700, 3))
        support = Support.fit(make(x[:200]), x[200:400], rate)
        alarms.append(np.mean(support.p_value(x[400:]) <= rate))
    assert rate - 0.02 < np.mean(alarms) < rate + 0.01


@pytest.mark.parametrize("make", [Mahalanobis.fit, Knn.fit])
def test_foreign_questions_are_flagged(make) -> None:
    rng = np.random.default_rng(3)
    x = _mixed(rng, 600)
    support = Support.fit(make(x[:300]), x[300:], rate=0.01)
    assert support.check(x[:1] * 0 + x.mean(0)) == []
    (finding,) = support.check(x.mean(0)[None] + 12 * x.std(0), Level.REFUSE, "sweep 3")
    assert (finding.check, finding.level, finding.where) == ("support", Level.REFUSE, "sweep 3")
    assert support.check(np.full((1, 4), np.nan)) != []  # not a number is not known either


def test_knn_sees_the_hole_that_mahalanobis_does_not() -> None:
    rng = np.random.default_rng(4)
    angle = rng.uniform(0, 2 * np.pi, 800)
    ring = np.c_[np.cos(angle), np.sin(angle)] * rng.normal(1, 0.02, (800, 1))
    middle = np.zeros((1, 2))
    assert Support.fit(Knn.fit(ring[:400]), ring[400:]).check(middle) != []
    assert Support.fit(Mahalanobis.fit(ring[:400]), ring[400:]).check(middle) == []


@pytest.mark.parametrize("make", [Mahalanobis.fit, Knn.fit])
def test_arrays_rebuild_it(make) -> None:
    x = _mixed(np.random.default_rng(5), 100)
    fitted = make(x)
    np.testing.assert_array_equal(type(fitted)(**fitted.arrays()).distance(x), fitted.distance(x))


def test_a_constant_feature_is_no_obstacle() -> None:
    x = np.random.default_rng(6).normal(size=(100, 2)) * [1, 0]
    for measure in (Mahalanobis.fit(x, shrinkage=0.0), Knn.fit(x)):
        assert np.isfinite(measure.distance(x)).all()
        assert measure.distance([[0.0, 50.0]])[0] > 10 * measure.distance(x).max()


@pytest.mark.parametrize(
    "call",
    [
        lambda: Mahalanobis.fit(np.ones((1, 3))),
        lambda: Mahalanobis.fit(np.ones((9, 3))),
        lambda: Mahalanobis.fit([[1.0, np.nan], [0.0, 1.0]]),
        lambda: Mahalanobis.fit(np.eye(3), shrinkage=2.0),
        lambda: Mahalanobis.fit(np.eye(3)).distance(np.ones((2, 2))),
        lambda: Knn.fit(np.eye(3), k=4),
        lambda: Support.fit(Mahalanobis.fit(np.eye(3)), np.eye(3), rate=0.01),
    ],
)
def test_bad_input_is_named(call) -> None:
    with pytest.raises(BadInput):
        call()


def test_of_kind_is_knn_among_those_of_the_kind() -> None:
    rng = np.random.default_rng(6)
    x, asked = rng.normal(size=(300, 4)), rng.normal(size=(80, 4))
    kinds, of = rng.integers(1, 6, 300), rng.integers(1, 7, 80)
    kinds[kinds == 5] = 4
    kinds[0] = 5  # one of this kind alone, none of the sixth
    measure = KnnOfKind.fit(np.c_[x, kinds], k=3)
    found = measure.distance(np.c_[asked, of])
    for kind in range(1, 7):
        mine = kinds == kind
        near = Knn(x[mine] / x.std(0), x.std(0), min(3, int(mine.sum())))
        expected = near.distance(asked[of == kind]) if mine.any() else np.full((of == kind).sum(), np.inf)
        np.testing.assert_allclose(found[of == kind], expected, rtol=1e-12)
    np.testing.assert_array_equal(
        KnnOfKind(**measure.arrays()).distance(np.c_[asked, of]), measure.distance(np.c_[asked, of])
    )
    assert np.isinf(measure.distance([[np.nan, 0, 0, 0, 1.0]]))[0]
    assert np.isinf(measure.distance([[0, 0, 0, 0, np.nan]]))[0]
    with pytest.raises(BadInput):
        measure.distance(asked)


def test_what_hides_among_another_kind_is_found() -> None:
    rng = np.random.default_rng(7)
    centers = np.array([[0.0, 0.0], [6.0, 0.0]])
    kinds = rng.integers(2, size=600)
    x = centers[kinds] + rng.normal(size=(600, 2))
    strange = np.array([[6.0, 0.0, 0.0]])  # of the first kind, where the second is at home
    everyone = Support.fit(Knn.fit(x[:300], 3), x[300:], 0.02)
    own = Support.fit(KnnOfKind.fit(np.c_[x, kinds][:300], 3), np.c_[x, kinds][300:], 0.02)
    assert everyone.check(strange[:, :2]) == []
    assert own.check(strange) != []


@pytest.mark.parametrize("limit", [0.3, 1.0, 2.5])
def test_a_quick_look_by_kind_says_what_the_distances_say(limit: float) -> None:
    rng = np.random.default_rng(4)
    kinds = rng.integers(1, 5, 600)
    known = rng.normal(size=(600, 6)) + 3 * kinds[:, None]
    measure = KnnOfKind.fit(np.column_stack([known, kinds]), 3)
    asked, of = rng.normal(size=(400, 6)) * 1.5, rng.integers(1, 6, 400)
    asked += 3 * of[:, None]
    asked[5, 2], asked[6, 0], asked[7] = np.nan, np.inf, 1e30
    told = measure.beyond(asked, of, limit)
    whole = measure.distance(np.column_stack([asked, of]))
    assert (told == (whole > limit)).all()
    assert told.any()
    assert limit < 1 or not told.all()
