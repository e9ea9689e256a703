"""Filters on stored fields: which documents of a shard a query may return."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lexlip.errors import QueryError

Scalar = str | int | float | bool


@dataclass(frozen=True)
class FieldFilter:
    """A condition on one stored field; hashable, so that its outcome can be remembered.

    Attributes:
        field: name of a stored field.
        any_of: the field equals one of these, or is a list that holds one of them; empty means no such condition.
        minimum, maximum: the field lies between them, both included.
    """

    field: str
    any_of: tuple[Scalar, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


def parse_filters(filters: Mapping[str, object]) -> tuple[FieldFilter, ...]:
    """Filters as a request writes them: `{"field": value}`, `{"field": [values]}` or `{"field": {"min": a, "max": b}}`.

    Raises:
        QueryError: another form.
    """
    return tuple(_parse(field, wanted) for field, wanted in sorted(filters.items()))


def _parse(field: str, wanted: object) -> FieldFilter:
    if isinstance(wanted, dict):
        unknown = sorted(set(wanted) - {"min", "max"})
        if unknown or not wanted:
            raise QueryError(
                f"filter on {field!r}: a range has min, max or both, not {', '.join(map(repr, unknown)) or 'nothing'}."
            )
        for bound in wanted.values():
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
                raise QueryError(f"filter on {field!r}: {bound!r} is not a number.")
        return FieldFilter(field, minimum=wanted.get("min"), maximum=wanted.get("max"))
    values: list = wanted if isinstance(wanted, list) else [wanted]
    if not values or not all(isinstance(value, str | int | float | bool) for value in values):
        raise QueryError(
            f"filter on {field!r}: expected a value, a non-empty list of values, or a range with min and max."
        )
    return FieldFilter(field, any_of=tuple(values))


def matching(stored: pa.Table, filters: tuple[FieldFilter, ...]) -> np.ndarray:
    """[documents] bool: which rows satisfy every filter.

    Raises:
        QueryError: a value that cannot be compared with its field.
    """
    allowed = np.ones(stored.num_rows, bool)
    for condition in filters:
        column = stored.column(condition.field).combine_chunks()
        if pa.types.is_binary(column.type):
            raise QueryError(f"filter on {condition.field!r}: a field of bytes cannot be filtered on.")
        try:
            allowed &= _column_matches(column, condition)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OverflowError) as error:
            raise QueryError(
                f"filter on {condition.field!r}: cannot be compared with a field of type {column.type}."
            ) from error
    return allowed


def _column_matches(column: pa.Array, condition: FieldFilter) -> np.ndarray:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
        held = _values_match(pc.list_flatten(column), condition)
        matches = np.zeros(len(column), bool)
        matches[rows[held]] = True
        return matches
    return _values_match(column, condition)


def _values_match(values: pa.Array, condition: FieldFilter) -> np.ndarray:
    if condition.any_of:
        if pa.types.is_string(values.type) and not all(isinstance(value, str) for value in condition.any_of):
            raise pa.ArrowTypeError("text is only equal to text")
        found = pc.is_in(values, value_set=pa.array(list(condition.any_of)).cast(values.type))
    else:
        found = pa.array(np.ones(len(values), bool))
        if condition.minimum is not None:
            found = pc.and_(found, pc.greater_equal(values, condition.minimum))
        if condition.maximum is not None:
            found = pc.and_(found, pc.less_equal(values, condition.maximum))
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)
