"""Back from posting lists to documents: single impacts, and whole shards for merging."""

# mypy: allow-untyped-defs, no-check-untyped-defs

import numpy as np

from lexlip.index.bits import load_u8, load_u64
from lexlip.index.kernel import kernel, lean_kernel
from lexlip.index.layout import (
    BLOCK_DOCUMENTS,
    BLOCK_SHIFT,
    ROW_LIST,
    ROW_RECORD_BYTES,
    WORD_BLOCKS,
)
from lexlip.index.locating import locate_in_gap_list, locate_in_row_list
from lexlip.index.plan import empty_plan, make_plan
from lexlip.index.scoring import add_postings


@kernel
def document_impacts(geometry, data, slice_bits, checked, number, terms, impacts):
    """Impacts of one document.

    Args:
        geometry, data, slice_bits, checked: of the shard, see `search_kernel.search_shard`.
        number: internal number of the document.
        terms: [n] int64 term ids.
        impacts: [n] uint8, the result; 0 where the document lacks the term.

    Returns:
        -1, or the number of a damaged list.
    """
    plan = empty_plan(1)
    records = np.empty(1, np.int64)
    one = np.ones(1, np.int64)
    scores = np.empty(BLOCK_DOCUMENTS, np.int32)
    spread = np.empty(BLOCK_DOCUMENTS // 8, np.uint64)
    block = number >> BLOCK_SHIFT
    for place in range(terms.size):
        impacts[place] = 0
        if not 0 <= terms[place] < geometry.vocabulary_terms:
            continue
        gap_lists, damaged, lists, _ = make_plan(plan, data, geometry, checked, terms[place : place + 1], one, records)
        if gap_lists < 0:
            return damaged
        if lists == 0:
            continue
        if plan.shift[0] == ROW_LIST:
            bit, mark = locate_in_row_list(plan, 0, data, slice_bits, block)
        else:
            bit, mark = locate_in_gap_list(plan, 0, data, slice_bits, block)
        if mark > 0:
            for document in range(BLOCK_DOCUMENTS):
                scores[document] = 0
            add_postings(data, bit, mark & 15, 1, geometry.impact_bits, spread, scores, 0)
            impacts[place] = scores[number & (BLOCK_DOCUMENTS - 1)]
    return np.int64(-1)


@lean_kernel
def _decode_list(plan, geometry, data, slice_bits, spread, scores, term, write, terms, impacts):
    """Adds one list to the documents it is in; see `decode_documents`."""
    word, bitmap = np.int64(-1), np.uint64(0)
    block = np.int64(0)
    bit = plan.first_bit[0]
    for entry in range(plan.entries[0]):
        if plan.shift[0] == ROW_LIST:
            while bitmap == np.uint64(0):
                word += 1
                block = word * WORD_BLOCKS - 1
                bitmap = load_u64(data, plan.records[0] + word * ROW_RECORD_BYTES)
            block += 1
            while bitmap & np.uint64(1) == np.uint64(0):
                bitmap >>= np.uint64(1)
                block += 1
            bitmap >>= np.uint64(1)
        else:
            block += np.int64(load_u8(data, plan.gaps[0] + entry))
        code = np.int64(load_u8(data, plan.marks[0] + entry) & np.uint64(15))
        if code > 0:
            for document in range(BLOCK_DOCUMENTS):
                scores[document] = 0
            add_postings(data, bit, code, 1, geometry.impact_bits, spread, scores, 0)
            for document in range(BLOCK_DOCUMENTS):
                if scores[document] > 0:
                    number = (block << BLOCK_SHIFT) + document
                    if terms.size > 0:
                        terms[write[number]] = term
                        impacts[write[number]] = scores[document]
                    write[number] += 1
        bit += np.int64(slice_bits[code])


@kernel
def decode_documents(geometry, data, slice_bits, checked, first_term, stop_term, write, terms, impacts):
    """Turns lists back into documents. Called twice: first with empty `terms` to count, then to fill.

    Args:
        geometry, data, slice_bits, checked: of the shard, see `search_kernel.search_shard`.
        first_term, stop_term: the terms whose lists are read, the second one left out.
        write: [documents] int64 by internal number: where its next posting goes; moved on by every posting.
        terms: [postings] int32, the result, ascending inside a document; or empty, to count only.
        impacts: [postings] uint8, the result.

    Returns:
        -1, or the number of a damaged list.
    """
    plan = empty_plan(1)
    records = np.empty(1, np.int64)
    one = np.ones(1, np.int64)
    wanted = np.empty(1, np.int64)
    scores = np.empty(BLOCK_DOCUMENTS, np.int32)
    spread = np.empty(BLOCK_DOCUMENTS // 8, np.uint64)
    for term in range(first_term, stop_term):
        wanted[0] = term
        gap_lists, damaged, lists, _ = make_plan(plan, data, geometry, checked, wanted, one, records)
        if gap_lists < 0:
            return damaged
        if lists > 0:
            _decode_list(plan, geometry, data, slice_bits, spread, scores, term, write, terms, impacts)
    return np.int64(-1)
