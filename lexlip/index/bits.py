"""Machine operations that numpy has no name for: unaligned loads, prefetching, counting and spreading bits."""

# mypy: allow-untyped-defs, no-check-untyped-defs

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

_HAS_DEPOSIT = bool(binding.get_host_cpu_features().get("bmi2", False))


def _address(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
    """Pointer to byte `arguments[1]` of the array `arguments[0]`."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    offset = context.cast(builder, arguments[1], signature.args[1], types.intp)
    first = builder.bitcast(array.data, ir.IntType(8).as_pointer())
    return builder.gep(first, [offset])


def _load(bits: int) -> Callable:
    """Makes an intrinsic that loads an unsigned little-endian number of `bits` from any byte offset of an array."""

    def load(typing_context: Any, array: Any, offset: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            address = _address(context, builder, signature, arguments)
            word = builder.load(builder.bitcast(address, ir.IntType(bits).as_pointer()))
            word.align = 1
            return builder.zext(word, ir.IntType(64)) if bits < 64 else word

        return types.uint64(array, offset), generate

    return intrinsic(load)


load_u8 = _load(8)
load_u16 = _load(16)
load_u32 = _load(32)
load_u64 = _load(64)


@intrinsic
def prefetch(typing_context: Any, array: Any, offset: Any) -> Any:
    """Asks for the cache line with byte `offset` of `array`, without waiting for it; any offset is safe."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        address = _address(context, builder, signature, arguments)
        number = ir.IntType(32)
        signature_type = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, signature_type, "llvm.prefetch.p0")
        builder.call(function, [address, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, offset), generate


@intrinsic
def count_ones(typing_context: Any, word: Any) -> Any:
    """How many bits of a uint64 are set."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def lowest_one(typing_context: Any, word: Any) -> Any:
    """Index of the lowest set bit of a uint64 that is not 0."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.cttz(arguments[0], ir.IntType(1)(0))

    return types.uint64(types.uint64), generate


@intrinsic
def _deposit_instruction(typing_context: Any, source: Any, mask: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        word = ir.IntType(64)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(word, [word, word]), "llvm.x86.bmi.pdep.64"
        )
        return builder.call(function, arguments)

    return types.uint64(types.uint64, types.uint64), generate


def _deposit_loop(source, mask):
    """Bit by bit, for processors without the instruction."""
    result = np.uint64(0)
    while mask != np.uint64(0):
        low = mask & (np.uint64(0) - mask)
        if source & np.uint64(1):
            result |= low
        source >>= np.uint64(1)
        mask ^= low
    return result


deposit_loop = njit(_deposit_loop)

# Spreads the low bits of `source` over the set bits of `mask` (both uint64), lowest first; the others are 0.
deposit = _deposit_instruction if _HAS_DEPOSIT else deposit_loop
