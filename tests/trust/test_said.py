"""What an answer said is compared to four digits, in the clear and as digests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.answer import Answer, Estimate, Finding, Level, Provenance
from sciai.trust.said import differences, fingerprint, hidden, said
from sciai.trust.sign import digest

WHO = Provenance("ruler", version="1")


def answer(value: object, spread: object = 0.1) -> Answer[object]:
    return Answer(Estimate(value, spread), (), WHO)


@given(st.floats(-1e6, 1e6), st.floats(-1e-7, 1e-7))
def test_noise_is_no_difference(x: float, noise: float) -> None:
    then = answer({"few": x, "many": np.linspace(x, x + 1, 40)})
    now = answer({"few": x * (1 + noise), "many": np.linspace(x, x + 1, 40) * (1 + noise)})
    assert differences(said(then), said(now)) == []
    assert differences(hidden(then, (), digest), hidden(now, (), digest)) == []


@pytest.mark.parametrize("way", ["clear", "hidden"])
def test_a_percent_is_a_difference_and_its_part_is_named(way: str) -> None:
    def kept(value: dict[str, object]) -> dict[str, object]:
        return said(answer(value)) if way == "clear" else hidden(answer(value), (), digest)

    many = np.linspace(1, 2, 40)
    base = kept({"a": 5.0, "b": many, "c": "word"})
    assert differences(base, kept({"a": 5.05, "b": many, "c": "word"}))[0].startswith("value.a")
    changed = many.copy()
    changed[7] += 0.1
    assert differences(base, kept({"a": 5.0, "b": changed, "c": "word"}))[0].startswith("value.b")
    assert differences(base, kept({"a": 5.0, "b": many, "c": "other"}))[0].startswith("value.c")
    assert differences(base, kept({"a": 5.0, "b": many}))[0] == "value.c: only then"


def test_what_is_left_out_does_not_count() -> None:
    one, two = ({"a": 1.0, "seconds": s} for s in (3.0, 4.0))
    assert differences(said(answer(one), ("seconds",)), said(answer(two), ("seconds",))) == []


def test_a_withheld_estimate_is_one_difference() -> None:
    refused = Answer(None, (Finding("far", Level.REFUSE, "too far"),), WHO)
    assert differences(said(refused), said(answer({"a": 1.0, "b": 2.0}))) == [
        "the estimate: none then, not so now"
    ]
    assert differences(said(refused), said(refused)) == []


def test_nothing_of_a_hidden_answer_is_in_the_clear() -> None:
    told = str(hidden(answer({"hba1c": 6.4321}), (), digest))
    assert "6.43" not in told
    assert "6432" not in told


def test_a_fingerprint_bears_noise_and_no_more() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=500)
    values[3], values[4] = np.nan, np.inf
    noise = fingerprint(values * (1 + 1e-9))
    assert any(noise[grid] == fingerprint(values)[grid] for grid in noise)
    for change in ({7: values[7] + 0.05}, {3: 0.0}, {4: -np.inf}):
        other = values.copy()
        other[list(change)] = list(change.values())
        assert not set(fingerprint(other).values()) & set(fingerprint(values).values())
    assert fingerprint(values[::-1]) != fingerprint(values)
    assert fingerprint([None, "a"]) == fingerprint(np.array([np.nan, "a"], object))


def test_an_answer_of_very_many_parts_takes_little_room() -> None:
    rows = [{"name": f"s{k}", "energy": k / 7} for k in range(3000)]
    then = said(answer({"rows": rows, "refused": 2}))
    assert len(str(then)) < 1000
    rows[1200]["energy"] += 0.1
    assert differences(then, said(answer({"rows": rows, "refused": 2}))) == ["value.rows is another one"]
