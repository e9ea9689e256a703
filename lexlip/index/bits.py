"""Machine operations that numpy has no name for: unaligned loads, prefetching, counting and spreading bits, tables."""

# mypy: allow-untyped-defs, no-check-untyped-defs

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

_FEATURES = binding.get_host_cpu_features()
_HAS_DEPOSIT = bool(_FEATURES.get("bmi2", False))
_HAS_BYTE_SHUFFLE = bool(_FEATURES.get("ssse3", False))
TABLE_BYTES = 16  # that `sum_of_table` looks up at a time


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


@intrinsic
def _sum_of_table_instruction(typing_context: Any, data: Any, offset: Any, count: Any, table: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        byte, short, word = ir.IntType(8), ir.IntType(16), ir.IntType(64)
        bytes16, shorts16, words2 = (
            ir.VectorType(byte, TABLE_BYTES),
            ir.VectorType(short, TABLE_BYTES),
            ir.VectorType(word, 2),
        )

        def filled(vector: ir.VectorType, values: Any) -> ir.Constant:
            return ir.Constant(vector, [ir.Constant(vector.element, value) for value in values])

        def load(address: ir.Value, vector: ir.VectorType) -> ir.Value:
            loaded = builder.load(builder.bitcast(address, vector.as_pointer()))
            loaded.align = 1
            return loaded

        def intrinsic_call(name: str, result: ir.Type, *operands: ir.Value) -> ir.Value:
            kind = ir.FunctionType(result, [operand.type for operand in operands])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), operands)

        zeros = filled(bytes16, [0] * TABLE_BYTES)
        codes = load(_address(context, builder, signature, arguments), bytes16)
        codes = builder.and_(codes, filled(bytes16, [15] * TABLE_BYTES))
        limit = builder.insert_element(zeros, builder.trunc(arguments[2], byte), ir.Constant(ir.IntType(32), 0))
        limits = builder.shuffle_vector(limit, zeros, filled(ir.VectorType(ir.IntType(32), TABLE_BYTES), [0] * 16))
        wanted = builder.icmp_unsigned("<", filled(bytes16, range(TABLE_BYTES)), limits)
        entries = load(context.make_array(signature.args[3])(context, builder, arguments[3]).data, shorts16)
        total = ir.Constant(word, 0)
        for shift in (0, 8):  # the low and the high bytes of the table's entries
            part = builder.trunc(builder.lshr(entries, filled(shorts16, [shift] * TABLE_BYTES)), bytes16)
            found = builder.select(wanted, intrinsic_call("llvm.x86.ssse3.pshuf.b.128", bytes16, part, codes), zeros)
            sums = intrinsic_call("llvm.x86.sse2.psad.bw", words2, found, zeros)
            for half in range(2):
                here = builder.extract_element(sums, ir.Constant(ir.IntType(32), half))
                total = builder.add(total, builder.shl(here, ir.Constant(word, shift)))
        return total

    return types.int64(data, offset, types.int64, table), generate


def _sum_of_table_loop(data, offset, count, table):
    """Byte by byte, for processors without the instruction."""
    total = np.int64(0)
    for place in range(count):
        total += np.int64(table[load_u8(data, offset + place) & np.uint64(15)])
    return total


sum_of_table_loop = njit(_sum_of_table_loop)

# Sum of `table` [16] uint16 at the low halves of the first `count`, 0 to 16, of the 16 bytes at `offset` of `data`. All
# 16 bytes are read.
sum_of_table = _sum_of_table_instruction if _HAS_BYTE_SHUFFLE else sum_of_table_loop
