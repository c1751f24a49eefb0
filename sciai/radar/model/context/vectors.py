# mypy: ignore-errors
"""A layer of the small integer network as vector code.

numba's loops over sixteen outputs become scalar code or long horizontal sums; eight times slower than what is
written here in LLVM's vector types, which LLVM turns into whatever the processor has. Integer sums have no
order, so every form gives the same bits.
"""

# The functions below are compiled; their types are numba's to infer, not mypy's.
from __future__ import annotations

import numpy as np
from numba import config, types
from numba.extending import intrinsic

__all__ = ["LANES", "layer", "plainly"]

LANES = 16


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
