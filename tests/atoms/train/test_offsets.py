"""The zero of energy of the source that answers are given at."""

import numpy as np

from sciai.atoms.train.offsets import fit_zero


def _made(rng, count, shift, per_element, noise=0.02):
    numbers = [rng.choice([3, 8, 14, 26, 79], int(rng.integers(2, 12))) for _ in range(count)]
    errors = np.array([per_element[z].mean() for z in numbers]) + shift + rng.normal(0, noise, count)
    return numbers, errors


def test_a_planted_bias_of_elements_and_of_what_is_new_is_found():
    rng = np.random.default_rng(0)
    bias = np.zeros(119)
    bias[[3, 8, 14, 26, 79]] = [0.1, -0.05, 0.2, 0.0, -0.15]
    learned, off = _made(rng, 3000, 0.0, bias)
    new, off_new = _made(rng, 60, 0.03, bias)
    numbers, errors = learned + new, np.concatenate([off, off_new])
    errors[5] = 40.0  # a label that is far off moves nothing
    held = np.arange(3060) >= 3000
    zero = fit_zero(numbers, errors, [str(k) for k in range(3060)], held)
    seen = [3, 8, 14, 26, 79]
    np.testing.assert_allclose(zero[seen], bias[seen] + 0.03, atol=0.03)
    assert np.abs(np.delete(zero, seen)).max() == 0
    fresh, off_fresh = _made(rng, 100, 0.03, bias)
    left = off_fresh - np.array([zero[z].mean() for z in fresh])
    assert np.abs(left).mean() < 0.03 < np.abs(off_fresh).mean()


def test_few_held_out_structures_move_nothing():
    rng = np.random.default_rng(1)
    numbers, errors = _made(rng, 19, 0.5, np.zeros(119))
    assert np.abs(fit_zero(numbers, errors, list("abcdefghijklmnopqrs"), np.ones(19, bool))).max() == 0
