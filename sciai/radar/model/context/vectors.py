# mypy: ignore-errors
"""Layers of the small integer network, and the mixer's sums and steps, as vector code.

numba's loops over a dozen numbers become scalar code or long horizontal sums; for the network eight times
slower than what is written here in LLVM's vector types, which LLVM turns into whatever the processor has.
Integer sums have no order, so every form gives the same bits. numba's pure-Python mode has plain forms.
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import config, types
from numba.extending import intrinsic

__all__ = [
    "LANES",
    "MIXED",
    "WEIGHT_MAX",
    "layer",
    "plainly",
    "teach",
    "teach_plainly",
    "weigh",
    "weigh_plainly",
]

LANES = 16
MIXED = 12
"""Inputs of the mixer."""
# 2.0 in Q16. A sum of two weights, less two bits, is below 2^16; counters' logits are below 2308 and a
# given one below 2817, so that the sum of twelve products stays below 2^31.
WEIGHT_MAX = (1 << 17) - 1


def _layer(inputs):
    """(x int32 [inputs], w int32 [inputs, 16], b int32 [16], out int32 [16]) -> None, as compiled code."""

    @intrinsic
    def apply(typingctx, x, w, b, out):
        def generate(context, builder, signature, arguments):
            from llvmlite import ir

            word, place = ir.IntType(32), ir.IntType(64)
            vector = ir.VectorType(word, LANES)
            none = ir.Constant(vector, ir.Undefined)
            first = ir.Constant(ir.VectorType(word, LANES), [0] * LANES)
            xs, ws, bs, outs = (
                context.make_array(kind)(context, builder, value).data
                for kind, value in zip(signature.args, arguments, strict=True)
            )

            def many(number):
                return ir.Constant(vector, [number] * LANES)

            def at(pointer, offset):
                return builder.gep(pointer, [ir.Constant(place, offset)])

            def load(pointer, offset):
                found = builder.load(builder.bitcast(at(pointer, offset), vector.as_pointer()))
                found.align = 4
                return found

            sums = [load(bs, 0), many(0), many(0), many(0)]  # four chains of additions, side by side
            for i in range(inputs):
                one = builder.insert_element(none, builder.load(at(xs, i)), ir.Constant(word, 0))
                spread = builder.shuffle_vector(one, none, first)
                sums[i % 4] = builder.add(sums[i % 4], builder.mul(spread, load(ws, LANES * i)))
            total = builder.add(builder.add(sums[0], sums[1]), builder.add(sums[2], sums[3]))
            total = builder.ashr(total, many(10))
            total = builder.select(builder.icmp_signed("<", total, many(0)), many(0), total)
            total = builder.select(builder.icmp_signed(">", total, many(4095)), many(4095), total)
            builder.store(total, builder.bitcast(outs, vector.as_pointer())).align = 4
            return context.get_dummy_value()

        return types.void(x, w, b, out), generate

    return apply


def plainly(inputs):
    """What `layer` gives, for numba's pure-Python mode."""

    def apply(x, w, b, out):
        total = b.astype(np.int32) + (x[:inputs, None] * w[:inputs]).sum(0, dtype=np.int32)
        out[:] = np.clip(total >> 10, 0, 4095)

    return apply


def layer(inputs):
    """A layer that sums `inputs` features, each times its sixteen weights, keeps the upper 22 bits and clips.

    Args:
        inputs: how many.

    Returns:
        A function ``(x int32 [inputs], w int32 [inputs, 16], b int32 [16], out int32 [16])``; arrays are
        contiguous, and sums fit 32 bits.
    """
    return plainly(inputs) if config.DISABLE_JIT else _layer(inputs)


def _fours(context, builder, kinds, arrays, rows):
    """Of each array (its row, where it has rows) the mixer's inputs: pointers to three vectors of four."""
    from llvmlite import ir

    place, vector = ir.IntType(64), ir.VectorType(ir.IntType(32), 4)
    found = []
    for kind, array, row in zip(kinds, arrays, rows, strict=True):
        data = context.make_array(kind)(context, builder, array).data
        first = builder.mul(row, ir.Constant(place, MIXED)) if row is not None else ir.Constant(place, 0)
        starts = [builder.add(first, ir.Constant(place, k)) for k in range(0, MIXED, 4)]
        found.append([builder.bitcast(builder.gep(data, [at]), vector.as_pointer()) for at in starts])
    return found


def _load(builder, pointer):
    found = builder.load(pointer)
    found.align = 4
    return found


@intrinsic
def _weigh(typingctx, weights, row, second, row2, x):
    def generate(context, builder, signature, arguments):
        from llvmlite import ir

        w, r, v, r2, given = arguments
        kinds = signature.args[0], signature.args[2], signature.args[4]
        own, more, inputs = _fours(context, builder, kinds, (w, v, given), (r, r2, None))
        vector = ir.VectorType(ir.IntType(32), 4)
        total = ir.Constant(vector, [0] * 4)
        for a, b, i in zip(own, more, inputs, strict=True):
            both = builder.ashr(
                builder.add(_load(builder, a), _load(builder, b)), ir.Constant(vector, [2] * 4)
            )
            total = builder.add(total, builder.mul(both, _load(builder, i)))
        lanes = [builder.extract_element(total, ir.Constant(ir.IntType(32), k)) for k in range(4)]
        one = builder.add(builder.add(lanes[0], lanes[1]), builder.add(lanes[2], lanes[3]))
        return builder.sext(one, ir.IntType(64))

    return types.int64(weights, types.int64, second, types.int64, x), generate


@intrinsic
def _teach(typingctx, weights, row, second, row2, x, error, pace):
    def generate(context, builder, signature, arguments):
        from llvmlite import ir

        w, r, v, r2, given, wrong, shift = arguments
        kinds = signature.args[0], signature.args[2], signature.args[4]
        own, more, inputs = _fours(context, builder, kinds, (w, v, given), (r, r2, None))
        word = ir.IntType(32)
        vector = ir.VectorType(word, 4)
        none, first = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0] * 4)

        def spread(number):
            one = builder.insert_element(none, builder.trunc(number, word), ir.Constant(word, 0))
            return builder.shuffle_vector(one, none, first)

        shifts, errors = spread(shift), spread(wrong)
        half = builder.lshr(builder.shl(ir.Constant(vector, [1] * 4), shifts), ir.Constant(vector, [1] * 4))
        least, most = (ir.Constant(vector, [n] * 4) for n in (-WEIGHT_MAX, WEIGHT_MAX))
        for a, b, i in zip(own, more, inputs, strict=True):
            step = builder.ashr(builder.add(builder.mul(errors, _load(builder, i)), half), shifts)
            for at in (a, b):
                moved = builder.add(_load(builder, at), step)
                moved = builder.select(builder.icmp_signed("<", moved, least), least, moved)
                moved = builder.select(builder.icmp_signed(">", moved, most), most, moved)
                builder.store(moved, at).align = 4
        return context.get_dummy_value()

    kinds = types.int64, second, types.int64, x, types.int64, types.int64
    return types.void(weights, *kinds), generate


def weigh_plainly(weights, row, second, row2, x):
    """The sum of inputs, each times a quarter of the sum of its two weights.

    Args:
        weights: int32 [rows, MIXED].
        row: which of them.
        second: int32 [rows, MIXED].
        row2: which of them.
        x: int32 [MIXED].
    """
    return int((((weights[row] + second[row2]) >> 2) * x).sum(dtype=np.int32))


def teach_plainly(weights, row, second, row2, x, error, pace):
    """Move both weights of each input by error x input / 2^pace, rounded, up to `WEIGHT_MAX`.

    Args:
        weights: int32 [rows, MIXED].
        row: which of them.
        second: int32 [rows, MIXED].
        row2: which of them.
        x: int32 [MIXED].
        error: what probability was missed, in 1/65536.
        pace: shift.
    """
    step = (int(error) * x.astype(np.int64) + (1 << (pace - 1))) >> pace
    for both in (weights[row], second[row2]):
        both[:] = np.clip(both + step, -WEIGHT_MAX, WEIGHT_MAX)


weigh = weigh_plainly if config.DISABLE_JIT else _weigh
teach = teach_plainly if config.DISABLE_JIT else _teach
