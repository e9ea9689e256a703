"""Each kernel against a plain twin in numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexlip.index.answering import quantise_query
from lexlip.index.bits import (
    count_ones,
    deposit_loop,
    load_u16,
    load_u32,
    load_u64,
    lowest_one,
    sum_of_table,
    sum_of_table_loop,
)
from lexlip.index.bounds import add_gap_lists, bound_blocks, bound_groups, bound_of_row
from lexlip.index.checksum import checksum_text
from lexlip.index.inversion import invert
from lexlip.index.kernel import kernel
from lexlip.index.layout import BLOCK_DOCUMENTS, HIGHEST_LEVEL, ROW_LIST, WORD_BLOCKS, count_code, is_bitmap, slice_bits
from lexlip.index.locating import locate_in_gap_list, locate_in_row_list
from lexlip.index.opening import next_groups
from lexlip.index.ordering import document_order
from lexlip.index.plan import LARGEST_BOUND, empty_plan, find_list, make_plan
from lexlip.index.posting_writer import write_slice
from lexlip.index.postings import Postings, write_postings
from lexlip.index.pruning import keep_top_terms
from lexlip.index.ranking import add_key, hit_key, key_position, key_score, make_heap, replace_lowest, take_highest
from lexlip.index.scoring import add_postings
from lexlip.index.sweeping import DENSE_GROUPS, sweep_dense_words
from lexlip.index.waves import order_lists
from lexlip.index.workspace import WAVE, make_workspace
from lexlip.tables import LexiconVector

IMPACT_BITS = 6
BLOCKS = 70
VOCABULARY = 90


@pytest.mark.parametrize(
    ("data", "expected"), [(b"", "ef46db3751d8e999"), (b"a", "d24ec4f1a98c6e5b"), (b"abc", "44bc2cf5ad770999")]
)
def test_checksum_is_xxh64(data, expected):
    assert checksum_text(data) == expected


def test_every_flipped_bit_changes_the_checksum():
    data = np.arange(77, dtype=np.uint8)
    seen = {checksum_text(data)}
    for bit in range(77 * 8):
        flipped = data.copy()
        flipped[bit // 8] ^= 1 << (bit % 8)
        seen.add(checksum_text(flipped))
    assert len(seen) == 77 * 8 + 1


@kernel
def _bit_operations(data, offset):
    return (
        load_u16(data, offset),
        load_u32(data, offset),
        load_u64(data, offset),
        count_ones(load_u64(data, offset)),
        lowest_one(load_u64(data, offset)),
    )


@settings(deadline=None)
@given(st.binary(min_size=8, max_size=8).filter(any), st.integers(0, 7))
def test_loads_are_little_endian_from_any_byte(word, offset):
    data = np.frombuffer(b"\xff" * offset + word, np.uint8)
    number = int.from_bytes(word, "little")
    expected = (number & 0xFFFF, number & 0xFFFFFFFF, number, number.bit_count(), (number & -number).bit_length() - 1)
    assert _bit_operations(data, offset) == expected


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_deposit_spreads_bits_over_a_mask(source, mask):
    expected, taken = 0, 0
    for bit in range(64):
        if mask >> bit & 1:
            expected |= (source >> taken & 1) << bit
            taken += 1
    assert int(deposit_loop(np.uint64(source), np.uint64(mask))) == expected


@kernel
def _sum_of_table(data, offset, count, table):
    return sum_of_table(data, offset, count, table)


@settings(deadline=None)
@given(st.binary(min_size=24, max_size=24), st.integers(0, 8), st.integers(0, 16), st.integers(0, 2**32))
def test_tables_are_looked_up_sixteen_at_a_time(codes, offset, count, seed):
    data = np.frombuffer(codes, np.uint8)
    table = np.random.default_rng(seed).integers(0, 2**16, 16).astype(np.uint16)
    expected = int(table[data[offset : offset + count] & 15].sum())
    assert _sum_of_table(data, offset, count, table) == expected
    assert sum_of_table_loop(data, offset, count, table) == expected


@settings(deadline=None)
@given(st.lists(st.integers(0, 65_535), min_size=64, max_size=64), st.integers(1, 70_000))
def test_groups_that_reach_a_bar_come_in_order_eight_at_a_time(bounds, bar):
    group_bounds = np.array(bounds, np.uint16)
    found, cursor = [], 0
    while cursor < group_bounds.size:
        opened = np.empty(WAVE, np.int64)
        size, cursor = next_groups(group_bounds, cursor, bar, opened)
        found += opened[:size].tolist()
    assert found == [group for group, bound in enumerate(bounds) if bound >= min(bar, LARGEST_BOUND)]
    np.testing.assert_array_equal(group_bounds, np.where(np.isin(np.arange(64), found), 0, bounds))


def test_count_codes_have_room_for_every_count():
    bits = slice_bits(IMPACT_BITS)
    for count in range(1, 65):
        code = count_code(count)
        assert 1 <= code <= 15
        if is_bitmap(code):
            assert bits[code] >= 64 + count * IMPACT_BITS
        else:
            assert bits[code] == count * (6 + IMPACT_BITS)


@settings(deadline=None)
@given(st.lists(st.integers(1, 2**62), min_size=1, max_size=60), st.integers(1, 20))
def test_heaps_keep_and_order_the_best(keys, k):
    best = np.zeros(k, np.int64)
    for key in keys:
        if key > best[0]:
            replace_lowest(best, key)
    assert sorted(best[best > 0].tolist(), reverse=True) == sorted(keys, reverse=True)[:k]
    heap = np.zeros(len(keys) + 1, np.int64)
    heap[: len(keys)] = keys
    make_heap(heap, len(keys))
    add_key(heap, len(keys), 5)
    taken = [take_highest(heap, left) for left in range(len(keys) + 1, 0, -1)]
    assert taken == sorted([*keys, 5], reverse=True)


def test_keys_prefer_higher_scores_and_then_lower_positions():
    keys = {(score, position): hit_key(score, position) for score in (1, 2, 2**31 - 1) for position in (0, 1, 2**22)}
    assert sorted(keys, key=keys.get, reverse=True) == sorted(keys, key=lambda pair: (-pair[0], pair[1]))
    assert all((key_score(key), key_position(key)) == pair for pair, key in keys.items())


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e300, 1e300).filter(lambda w: abs(w) > 1e-300), min_size=1, max_size=40),
    st.integers(0, 1000),
)
def test_query_weights_become_whole_numbers(weights, shift):
    terms = np.arange(len(weights), dtype=np.int64) + shift
    units = np.empty(len(weights), np.int64)
    suitable, unit = quantise_query(terms, np.array(weights), 2000, units)
    assert suitable
    total = sum(abs(weight) for weight in weights)
    assert np.abs(units).sum() * 255 < 2**31
    assert unit <= total / 2**22
    expected = np.array(weights) / unit
    assert np.all(np.abs(units - expected) <= 1)
    assert np.all(np.sign(units) == np.sign(weights))


@pytest.mark.parametrize(
    ("terms", "weights"),
    [
        ([3, 3], [1, 1]),
        ([-1], [1]),
        ([2000], [1]),
        ([1], [0]),
        ([1], [np.nan]),
        ([1], [np.inf]),
        ([1, 2], [1.7e308, 1e308]),
        ([1], [5e-324]),
    ],
)
def test_unsuitable_query_weights_are_refused(terms, weights):
    units = np.empty(len(terms), np.int64)
    assert not quantise_query(np.array(terms, np.int64), np.array(weights, np.float64), 2000, units)[0]


def test_pruning_keeps_what_the_vector_itself_would_keep(make_collection):
    collection = make_collection(200)
    weights = np.round(collection.weights, 1) + np.float32(0.1)  # many ties
    starts, terms, kept = keep_top_terms(collection.starts, collection.terms, weights, 5)
    for document in range(200):
        here = slice(collection.starts[document], collection.starts[document + 1])
        expected = LexiconVector(collection.terms[here], weights[here]).top(5)
        np.testing.assert_array_equal(terms[starts[document] : starts[document + 1]], expected.terms)
        np.testing.assert_array_equal(kept[starts[document] : starts[document + 1]], expected.weights)


def test_inversion(make_collection):
    collection = make_collection(150)
    impacts = (np.arange(collection.terms.size) % 63 + 1).astype(np.uint8)
    order = np.random.default_rng(0).permutation(150).astype(np.int32)
    list_starts, documents, list_impacts = invert(collection.starts, collection.terms, impacts, order, 300)
    numbers = np.argsort(order)[np.repeat(np.arange(150), np.diff(collection.starts))]
    by_term = np.lexsort((numbers, collection.terms))
    np.testing.assert_array_equal(documents, numbers[by_term])
    np.testing.assert_array_equal(list_impacts, impacts[by_term])
    np.testing.assert_array_equal(np.diff(list_starts), np.bincount(collection.terms, minlength=300))


def gap_cost(order, starts, terms):
    """Sum over terms of log2 of the distances between their documents."""
    numbers = np.argsort(order)[np.repeat(np.arange(order.size), np.diff(starts))]
    by_term = np.lexsort((numbers, terms))
    gaps = np.diff(numbers[by_term])[np.diff(terms[by_term]) == 0]
    return np.log2(gaps).mean()


def test_ordering_is_a_permutation_that_brings_similar_documents_together(make_collection):
    collection = make_collection(3_000)
    order = document_order(collection.starts, collection.terms, collection.weights, 300, 16)
    np.testing.assert_array_equal(np.sort(order), np.arange(3_000))
    one_thread = document_order(collection.starts, collection.terms, collection.weights, 300, 16, threads=1)
    np.testing.assert_array_equal(order, one_thread)
    as_given = np.arange(3_000)
    assert gap_cost(order, collection.starts, collection.terms) < 0.9 * gap_cost(
        as_given, collection.starts, collection.terms
    )
    np.testing.assert_array_equal(
        document_order(collection.starts, collection.terms, collection.weights, 300, 0), as_given
    )


class Lists:
    """A shard of 70 blocks kept as a dense matrix of impacts beside its postings file."""

    def __init__(self, folder, row_share):
        random = np.random.default_rng(5)
        documents = BLOCKS * BLOCK_DOCUMENTS - 3
        frequency = random.random(VOCABULARY) ** 3
        frequency[:3] = [1.0, 0.0, 0.002]
        near = (np.arange(documents)[:, None] // 640 + np.arange(VOCABULARY)) % 7 == 0
        present = random.random((documents, VOCABULARY)) < frequency * np.where(near, 1.0, 0.1)
        present[:, 0] = True
        self.impacts = np.where(present, random.integers(1, 64, present.shape), 0)
        starts = np.concatenate([[0], np.cumsum(present.sum(1))]).astype(np.int64)
        rows, terms = np.nonzero(present)
        self.order = random.permutation(documents).astype(np.int32)
        entry = write_postings(
            folder,
            "shard",
            starts,
            terms.astype(np.int32),
            self.impacts[rows, terms].astype(np.uint8),
            self.order,
            vocabulary_terms=VOCABULARY,
            impact_bits=IMPACT_BITS,
            maximum_weight=1.0,
            row_share=row_share,
        )
        self.postings = Postings(folder, entry)
        stored = np.zeros((BLOCKS * BLOCK_DOCUMENTS, VOCABULARY), np.int64)
        stored[:documents] = self.impacts[self.order]
        self.blocks = stored.reshape(BLOCKS, BLOCK_DOCUMENTS, VOCABULARY)

    def plan(self, terms, weights):
        geometry, data = self.postings._geometry, self.postings._data
        plan = empty_plan(len(terms))
        checked = np.zeros(1000, np.uint8)
        made = make_plan(
            plan,
            data,
            geometry,
            checked,
            np.array(terms, np.int64),
            np.array(weights, np.int64),
            np.empty(len(terms), np.int64),
        )
        return plan, made


@pytest.fixture(scope="module", params=[0.02, 0.3, 0.9])
def lists(request, tmp_path_factory):
    """The same postings with many, some and few row lists."""
    return Lists(tmp_path_factory.mktemp("lists"), request.param)


def test_all_lists_decode_to_what_was_written(lists):
    starts, terms, impacts = lists.postings.all_documents()
    rows, expected_terms = np.nonzero(lists.impacts)
    np.testing.assert_array_equal(terms, expected_terms)
    np.testing.assert_array_equal(impacts, lists.impacts[rows, expected_terms])
    np.testing.assert_array_equal(np.diff(starts), (lists.impacts > 0).sum(1))
    for position in (0, 64, len(lists.order) - 1):
        found = lists.postings.impacts(position, np.arange(-1, VOCABULARY + 1))
        np.testing.assert_array_equal(found[1:-1], lists.impacts[position])
        assert found[0] == found[-1] == 0


@kernel
def _located(plan, data, bits, block):
    if plan.shift[0] == ROW_LIST:
        return locate_in_row_list(plan, 0, data, bits, block)
    return locate_in_gap_list(plan, 0, data, bits, block)


@kernel
def _scored(data, bit, code, weight, scores):
    add_postings(data, bit, code, weight, IMPACT_BITS, np.empty(8, np.uint64), scores, 0)


def test_locating_and_scoring_one_list_in_one_block(lists):
    data, bits = lists.postings._data, slice_bits(IMPACT_BITS)
    for term in range(0, VOCABULARY, 7):
        plan, (_, _, count, _) = lists.plan([term], [1])
        for block in range(BLOCKS):
            expected = lists.blocks[block, :, term]
            if count == 0:
                assert not expected.any()
                continue
            bit, mark = _located(plan, data, bits, block)
            scores = np.zeros(BLOCK_DOCUMENTS, np.int32)
            if mark > 0:
                _scored(data, bit, mark & 15, 3, scores)
            np.testing.assert_array_equal(scores, 3 * expected)


def test_bounds_hold_and_are_what_levels_say(lists):
    geometry, data = lists.postings._geometry, lists.postings._data
    random = np.random.default_rng(9)
    for size in (1, 5, 40):
        terms = random.choice(np.flatnonzero(lists.impacts.any(0)), size, replace=False)
        weights = random.integers(1, 100_000, size)
        plan, (gap_lists, positive, _, scale) = lists.plan(terms, weights)
        block_bounds = np.zeros(8 * geometry.groups, np.uint16)
        group_bounds = np.empty(geometry.groups, np.uint16)
        add_gap_lists(plan, gap_lists, data, geometry.groups, block_bounds)
        bound_groups(plan, gap_lists, positive, data, geometry.groups, block_bounds, group_bounds)
        found = np.array([_blocks_of(plan, gap_lists, positive, data, geometry, block_bounds, g) for g in range(9)])
        found = found.reshape(-1)[:BLOCKS].astype(np.int64)

        top = lists.blocks.max(1)[:, terms]
        highest = lists.impacts.max(0)[terms]
        levels = -(-top * HIGHEST_LEVEL // highest)
        unit = np.ceil(highest * weights * scale / HIGHEST_LEVEL)
        np.testing.assert_array_equal(found, levels @ unit)
        best = (lists.blocks[:, :, terms] * weights).sum(2).max(1)
        assert np.all(found >= best * scale - 1e-6)
        assert np.all(np.repeat(group_bounds[:9], 8)[:BLOCKS] >= found)


@pytest.mark.parametrize("allowed_share", [None, 0.2])
def test_sweeping_a_word_finds_the_best_of_its_documents(lists, allowed_share):
    geometry, data, bits = lists.postings._geometry, lists.postings._data, slice_bits(IMPACT_BITS)
    random = np.random.default_rng(4)
    live = np.zeros(0, np.uint64)
    documents = WORD_BLOCKS * BLOCK_DOCUMENTS  # of the first word; the blocks behind it are too few to be swept
    allowed = np.ones(len(lists.order), bool)
    if allowed_share is not None:
        allowed = random.random(allowed.size) < allowed_share
        live = lists.postings.allowed_words(allowed)
    for size in (2, 20, 80):
        terms = random.choice(np.flatnonzero(lists.impacts.any(0)), size, replace=False)
        weights = random.integers(1, 100_000, size) * random.choice([-1, 1, 1, 1], size)
        weights[0] = 200_000
        plan, (gap_lists, positive, count, scale) = lists.plan(terms, weights)
        work = make_workspace(geometry.groups, count, 30)
        add_gap_lists(plan, gap_lists, data, geometry.groups, work.block_bounds)
        bound_groups(plan, gap_lists, positive, data, geometry.groups, work.block_bounds, work.group_bounds)
        groups = np.flatnonzero(work.group_bounds[:8])
        first_part = order_lists(plan, positive, count, work)
        waiting = sweep_dense_words(
            plan, gap_lists, positive, first_part, geometry, data, bits, live, scale, 1, work, 0
        )
        assert groups.size >= DENSE_GROUPS
        assert not work.group_bounds[groups].any()
        assert waiting == 0

        scores = (lists.blocks[:WORD_BLOCKS, :, terms] @ weights).reshape(-1)
        positions = lists.order[:documents]
        keys = np.array([hit_key(score, position) for score, position in zip(scores, positions, strict=True)])
        keys = np.sort(keys[(scores > 0) & allowed[positions]])[::-1][:30]
        found = np.sort(work.best)[::-1]
        np.testing.assert_array_equal(found[: keys.size], keys)
        assert not found[keys.size :].any()


@kernel
def _fill_bounds(plan, gap_lists, positive, data, groups, block_bounds, group, bounds):
    first_four, last_four = bound_blocks(plan, gap_lists, positive, data, groups, block_bounds, group)
    for row in range(bounds.size):
        bounds[row] = bound_of_row(first_four, last_four, row)


def _blocks_of(plan, gap_lists, positive, data, geometry, block_bounds, group):
    bounds = np.empty(8, np.int64)
    _fill_bounds(plan, gap_lists, positive, data, geometry.groups, block_bounds, group, bounds)
    return bounds


@kernel
def _list_number(data, directory, term):
    return find_list(data, directory, term)


def test_directory_numbers_the_terms_that_have_a_list(lists):
    geometry, data = lists.postings._geometry, lists.postings._data
    present = lists.impacts.any(0)
    expected = np.where(present, np.cumsum(present) - 1, -1)
    assert [_list_number(data, geometry.directory, term) for term in range(VOCABULARY)] == expected.tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 64), st.integers(4, 8), st.integers(-(2**20), 2**20))
def test_postings_of_any_number_and_width_survive(count, impact_bits, weight):
    random = np.random.default_rng(count)
    documents = np.sort(random.choice(64, count, replace=False)).astype(np.int32)
    impacts = random.integers(1, 1 << impact_bits, count).astype(np.uint8)
    for bit in (0, 3, 7):
        data = np.zeros(200, np.uint8)
        write_slice(documents, impacts, 0, count, impact_bits, data, bit)
        data[(bit + int(slice_bits(impact_bits)[count_code(count)]) + 7) // 8 :] = 255  # what follows is not ours
        scores = np.zeros(64, np.int32)
        _scored_width(data, bit, count_code(count), weight, impact_bits, scores)
        expected = np.zeros(64, np.int64)
        expected[documents] = weight * impacts.astype(np.int64)
        np.testing.assert_array_equal(scores, expected)


@kernel
def _scored_width(data, bit, code, weight, impact_bits, scores):
    add_postings(data, bit, code, weight, impact_bits, np.empty(8, np.uint64), scores, 0)
