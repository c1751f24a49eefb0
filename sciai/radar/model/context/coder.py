# mypy: ignore-errors
"""The binary arithmetic coder and the adaptive mixer, in integers only.

Coder: carry-less range coder after Mahoney's lpaq (2007), widened to 48 bits so that 16-bit probabilities
lose nothing. Mixer: gated logistic mixing (Mahoney 2005; Mattern, "Mixing strategies in data compression",
DCC 2012): the logits of several predictors, each weighted, the weights learned by online gradient descent
on the coding cost. One function serves both directions (`decoding` is data, not code), so that encoder and
decoder cannot drift apart.

Every intermediate fits its integer type whatever the data, so the result is the same on any machine.
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np

from sciai.radar.model.context.jit import inlined, loop
from sciai.radar.model.context.tables import COUNT_LIMIT, LOGIT_MAX
from sciai.radar.model.context.vectors import MIXED, teach, weigh

__all__ = ["INPUTS", "POSITION", "adaptive_bit", "as_told", "code_bit", "finish", "learn", "mix_bit", "start"]

INPUTS = MIXED  # a given logit and eleven counters, or twelve counters
_LOW, _HIGH, _CODE, POSITION = 0, 1, 2, 3  # slots of the coder's state, int64 [4]
_TOP = 40
_ALL = (1 << 48) - 1


@loop
def start(state, data, decoding):
    """Reset the coder; a decoder reads its first six bytes."""
    state[_LOW] = 0
    state[_HIGH] = _ALL
    state[_CODE] = 0
    state[POSITION] = 0
    if decoding:
        for _ in range(6):
            p = state[POSITION]
            state[_CODE] = (state[_CODE] << 8) | (np.int64(data[p]) if p < data.size else 0)
            state[POSITION] = p + 1


@loop
def as_told(apm, squash):
    """Secondary estimation before it has seen anything: a probability means what it says."""
    for j in range(34):
        apm[0, j] = squash[min(j * 176, 2 * LOGIT_MAX)]
    for i in range(1, apm.shape[0]):
        for j in range(34):  # row after row: columns would miss the cache each time
            apm[i, j] = apm[0, j]


@inlined
def code_bit(bit, p1, state, data, decoding):
    """Code one bit whose P(1) is `p1` / 65536; gives the bit."""
    low = state[_LOW]
    high = state[_HIGH]
    span = high - low
    middle = low + (span >> 16) * p1 + (((span & 0xFFFF) * p1) >> 16)
    if decoding:
        bit = np.int64(1) if state[_CODE] <= middle else np.int64(0)
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) >> _TOP == 0:
        p = state[POSITION]
        if decoding:
            state[_CODE] = ((state[_CODE] << 8) & _ALL) | (np.int64(data[p]) if p < data.size else 0)
        elif p < data.size:  # a full buffer is noticed by the caller: POSITION runs past its size
            data[p] = low >> _TOP
        state[POSITION] = p + 1
        low = (low << 8) & _ALL
        high = ((high << 8) & _ALL) | 255
    state[_LOW] = low
    state[_HIGH] = high
    return bit


@loop
def finish(state, data):
    """Write the fewest bytes that name a number in the last interval (a reader sees zeros beyond the end)."""
    low = state[_LOW]
    high = state[_HIGH]
    if low == 0:
        return
    for n in range(1, 7):
        shift = 48 - 8 * n
        value = ((low >> shift) + 1) << shift
        if value <= high:
            for i in range(n):
                if state[POSITION] < data.size:
                    data[state[POSITION]] = (value >> (_TOP - 8 * i)) & 255
                state[POSITION] += 1
            return


@inlined
def learn(bit22, slot, counters, rate):
    """Move one counter (probability in 22 bits, count in 10) towards the bit it saw (bit22 = bit << 22)."""
    c = np.int64(counters[slot])
    n = c & 1023
    p = c >> 10
    p += ((bit22 - p) * rate[n]) >> 16
    p = min(max(p, 512), (1 << 22) - 512)
    counters[slot] = (p << 10) | min(n + 1, COUNT_LIMIT)


@inlined
def adaptive_bit(bit, slot, counters, rate, state, data, decoding):
    """Code one bit under a single counter."""
    bit = code_bit(bit, max(np.int64(counters[slot]) >> 16, 1), state, data, decoding)
    learn(np.int64(bit) << 22, slot, counters, rate)
    return bit


@inlined
def mix_bit(
    bit,
    given,
    x,
    slots,
    offset,
    counters,
    weights,
    row,
    second,
    row2,
    apm,
    arow,
    pace,
    squash,
    stretch,
    rate,
    state,
    data,
    decoding,
):
    """Code one bit under the mixture of counters (and of one given logit); everything learns.

    Args:
        bit: what to encode.
        given: 1 where x[0] holds a logit already, else 0.
        x: int32 [INPUTS], scratch.
        slots: int32 [INPUTS], counter of each input (slots[0] unused if `given`).
        offset: added to each slot.
        counters: uint32, probability in 22 bits and count in 10.
        weights: int32 [rows, INPUTS], Q16.
        row: the row of weights that is used.
        second: int32 [rows, INPUTS], weights by another context, added to the first.
        row2: its row.
        apm: int32 [rows, 34], what the mixture's probability turned out to mean (secondary estimation).
        arow: its row.
        pace: shift of the learning step (17 is a rate of 1/512).
        squash: table of probabilities.
        stretch: table of logits.
        rate: table of the counters' steps.
        state: of the coder.
        data: uint8 stream.
        decoding: direction.
    """
    for i in range(given, INPUTS):
        x[i] = stretch[np.int64(counters[slots[i] + offset]) >> 20]
    logit = weigh(weights, row, second, row2, x) >> 14
    logit = min(max(logit, -LOGIT_MAX), LOGIT_MAX)
    p1 = np.int64(squash[logit + LOGIT_MAX])
    # Secondary estimation: what really happened when the mixture said this, in this context.
    place = (logit + LOGIT_MAX) * 8
    left = place // 1408
    part = place - left * 1408
    seen = (np.int64(apm[arow, left]) * (1408 - part) + np.int64(apm[arow, left + 1]) * part) // 1408
    final = min(max((p1 + seen) >> 1, 1), 65535)
    bit = code_bit(bit, final, state, data, decoding)
    goal = np.int64(65535) if bit else np.int64(0)
    near = left + (1 if part > 704 else 0)
    apm[arow, near] += (goal - np.int64(apm[arow, near])) >> 6
    teach(weights, row, second, row2, x, (np.int64(bit) << 16) - p1, pace)
    bit22 = np.int64(bit) << 22
    for i in range(given, INPUTS):
        learn(bit22, slots[i] + offset, counters, rate)
    return bit
