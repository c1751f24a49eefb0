"""The privacy audit: a memoriser fails every part of it, a model of the population passes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sciai.core.answer import Level
from sciai.core.errors import BadInput
from sciai.health.api.privacy import Audit, audit
from sciai.health.api.privacy_attacks import exposure, membership, singling_out
from sciai.health.data.canaries import canaries
from sciai.health.data.columns import Schema
from tests.health.kernel_joint import SCHEMA, KernelJoint, people

MEMBERS, OTHERS, ELSEWHERE = people(200, seed=3), people(200, seed=4), people(200, seed=5)
PLANTED = canaries(MEMBERS, 12, seed=1)
SECRETS = ("dx_diabetes", "hba1c")


def attacked(model: KernelJoint, **options: object) -> Audit:
    references = [KernelJoint(people(100, seed=20 + k), width=0.5) for k in range(2)]
    return audit(
        model,
        MEMBERS,
        OTHERS,
        references=references,
        planted=PLANTED,
        secrets=SECRETS,
        attempts=200,
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def memoriser() -> Audit:
    return attacked(KernelJoint(np.vstack([MEMBERS, PLANTED]), width=0.03))


@pytest.fixture(scope="module")
def honest() -> Audit:
    # it never saw the members at all, so that nothing can be found whatever the attack
    return attacked(KernelJoint(ELSEWHERE, width=0.5), epsilon=1.5)


def test_a_memoriser_fails_every_part(memoriser: Audit) -> None:
    assert not memoriser.passed
    assert {f.check for f in memoriser.findings() if f.level is Level.REFUSE} == {
        "membership",
        "canaries",
        "singling out",
        "attribute",
    }
    assert memoriser.worst.auc > 0.95
    assert memoriser.worst.tpr > 0.5
    assert memoriser.canaries is not None
    assert memoriser.canaries.mean > 4
    assert memoriser.canaries.exposed > 6
    assert memoriser.singling.members > 2 * memoriser.singling.others
    assert max(a.excess for a in memoriser.attributes) > 0.3
    assert "where membership is a secret" in memoriser.words()


def test_a_model_that_never_saw_the_members_passes(honest: Audit) -> None:
    assert honest.passed
    assert all(m.low <= 0.5 for m in honest.memberships)
    assert honest.canaries is not None
    assert honest.canaries.p > 0.01
    assert honest.singling.low <= 0


def test_what_the_model_knows_of_anybody_is_told_apart_from_what_it_remembers(honest: Audit) -> None:
    secret = next(a for a in honest.attributes if a.target == "dx_diabetes")
    assert secret.others > 0.02  # age tells of diabetes, of strangers too
    assert secret.low < 0 < secret.high


def test_it_never_says_private(memoriser: Audit, honest: Audit) -> None:
    for one in (memoriser, honest):
        assert one.words().startswith("Measured risk")
        assert "anonym" not in one.words()
    assert "epsilon 1.50" in honest.words()
    assert "not trained under differential privacy" in memoriser.words()


def test_it_is_plain_json(memoriser: Audit) -> None:
    told = json.loads(json.dumps(memoriser.as_dict()))
    assert told["passed"] is False
    assert told["memberships"][0]["members"] == 200


def test_shadow_models_find_what_outsiders_do_not() -> None:
    """A blurred model of few people, and others of the same recipe, made of other draws of the same pool."""
    pool, rng = people(400, seed=8), np.random.default_rng(9)
    inside = rng.permutation(400)[:200]
    outside = np.setdiff1d(np.arange(400), inside)
    shadows = [KernelJoint(pool[rng.permutation(400)[:200]], width=0.5) for _ in range(5)]
    found = audit(
        KernelJoint(pool[inside], width=0.5),
        pool[inside],
        pool[outside],
        references=[KernelJoint(people(60, seed=30 + k), width=0.5) for k in range(2)],
        shadows=shadows,
        secrets=(),
        attempts=20,
    )
    by_name = {m.attack: m for m in found.memberships}
    strong = by_name["likelihood ratio to shadow models"]
    assert found.worst is strong
    assert strong.low > by_name["calibrated loss"].auc
    assert not found.passed
    # of a model that saw none of these people they find nothing
    stranger = audit(
        KernelJoint(ELSEWHERE, width=0.5),
        pool[inside],
        pool[outside],
        shadows=shadows,
        secrets=(),
        attempts=20,
    )
    assert next(m for m in stranger.memberships if m.attack == strong.attack).low < 0.5


def test_a_shadow_model_of_other_columns_is_refused() -> None:
    from sciai.health.model.copula import CopulaJoint, fit_copula

    other = CopulaJoint(fit_copula(Schema(SCHEMA.columns[:3]), MEMBERS[:, :3], rounds=1))
    with pytest.raises(BadInput, match="shadow model 1 has other columns"):
        audit(KernelJoint(MEMBERS, 0.5), MEMBERS, OTHERS, shadows=[other])


def test_without_canaries_their_exposure_is_not_made_up() -> None:
    found = audit(KernelJoint(ELSEWHERE, 0.5), MEMBERS[:60], OTHERS[:60], secrets=(), attempts=20)
    assert found.canaries is None
    assert [f.level for f in found.findings() if f.check == "canaries"] == [Level.CAUTION]
    assert found.attributes == ()


def test_people_of_one_place_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    place = np.repeat(np.arange(10), 30)
    score = rng.normal(size=10)[place] + 0.1 * rng.normal(size=300)
    alone = membership("x", score[:150], score[150:])
    placed = membership("x", score[:150], score[150:], (place[:150].tolist(), place[150:].tolist()))
    assert placed.high - placed.low > 2 * (alone.high - alone.low)
    assert placed.auc == alone.auc


def test_members_and_others_of_a_place_are_redrawn_together() -> None:
    rng = np.random.default_rng(0)
    place = np.repeat(np.arange(40), 10)
    score = 5 * rng.normal(size=40)[place] + rng.normal(size=400)
    inside = rng.random(400) < 0.5
    units = (place[inside].tolist(), place[~inside].tolist())
    shared = membership("x", score[inside], score[~inside], units)
    apart = membership("x", score[inside], score[~inside], (units[0], [p + 100 for p in units[1]]))
    assert shared.high - shared.low < 0.7 * (apart.high - apart.low)


def test_that_places_differ_is_told_apart_from_memory() -> None:
    """A model of the members' place knows the place, and nobody in it."""
    shift = np.zeros(len(SCHEMA))
    shift[SCHEMA.index("age")] = 15
    model = KernelJoint(people(200, seed=7), width=0.5)
    far = OTHERS + shift
    found = audit(model, MEMBERS, ELSEWHERE, elsewhere=(far, ["far"] * len(far)), secrets=(), attempts=20)
    assert found.worst.low <= 0.5
    assert max(m.low for m in found.elsewhere) > 0.5
    assert [f.level for f in found.findings() if f.check == "places"] == [Level.CAUTION]
    assert found.passed


def test_one_percent_of_the_others_is_accused() -> None:
    outside = np.arange(1000.0)
    assert membership("x", np.full(10, 985.0), outside, draws=5).tpr == 0
    assert membership("x", np.full(10, 995.0), outside, draws=5).tpr == 1


def test_exposure_of_canaries_like_all_others_is_that_of_chance() -> None:
    rng = np.random.default_rng(1)
    found = exposure(rng.normal(size=400), rng.normal(size=4000))
    assert found.mean == pytest.approx(1 / np.log(2), abs=0.3)
    assert found.exposed <= 2
    assert found.p > 0.01


def test_singling_out_is_the_same_for_the_same_seed() -> None:
    model = KernelJoint(ELSEWHERE, 0.5)
    first, again = (singling_out(model, MEMBERS, OTHERS, 50, seed=6) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(
    ("members", "others", "words"),
    [
        (MEMBERS[:, :3], OTHERS, "columns"),
        (MEMBERS[:10], OTHERS, "at least 50"),
        (MEMBERS, MEMBERS, "200 of the 200 others are among the members"),
        (MEMBERS, np.vstack([OTHERS, MEMBERS[:20]]), "20 of the 220 others are among the members"),
    ],
)
def test_bad_input_is_named(members: np.ndarray, others: np.ndarray, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        audit(KernelJoint(ELSEWHERE, 0.5), members, others)


def test_canaries_take_single_values_from_people_and_no_whole_person() -> None:
    table = people(500, seed=9)
    drawn = canaries(table, 40, seed=1)
    for column in range(len(SCHEMA)):
        own = drawn[:, column]
        assert np.isin(own[~np.isnan(own)], table[:, column]).all()
    assert not any((row == table).all(1).any() for row in drawn)
    np.testing.assert_array_equal(drawn, canaries(table, 40, seed=1))
    assert not np.array_equal(drawn, canaries(table, 40, seed=2), equal_nan=True)
    with pytest.raises(BadInput):
        canaries(table[:1], 3)
