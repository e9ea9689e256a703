"""The order in which documents are stored: similar ones side by side, so that blocks are alike inside and bounds are
tight.

Recursive graph bisection (Dhulipala et al., "Compressing Graphs and Indexes with Recursive Graph Bisection", KDD
2016): a range of documents
is cut into halves, and pairs of documents change sides while that lowers the estimated cost of coding the gaps
between the documents of each
term. Only the heaviest terms of a document are looked at, and the start is the order of the two heaviest terms.
"""

# mypy: allow-untyped-defs, no-check-untyped-defs

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lexlip.index.kernel import kernel
from lexlip.index.layout import BLOCK_DOCUMENTS
from lexlip.index.pruning import keep_top_terms

_ROUNDS = 8  # exchanges tried per bisection; few ranges use all of them
_LEAST_SHARE_MOVED = 0.005  # a bisection ends when fewer documents than this changed sides


@kernel
def _heaviest_pair_keys(starts, terms, weights, rarity, keys):
    """`keys[document]` becomes its heaviest term x 2^32 + its second heaviest, weights counted by rarity."""
    for document in range(keys.size):
        best = second = np.float32(-1)
        best_term = second_term = np.int64(0)
        for posting in range(starts[document], starts[document + 1]):
            value = weights[posting] * rarity[terms[posting]]
            if value > best:
                second, second_term = best, best_term
                best, best_term = value, np.int64(terms[posting])
            elif value > second:
                second, second_term = value, np.int64(terms[posting])
        keys[document] = (best_term << 32) | second_term


@kernel
def _worth_moving(gains, low, high, best_partner):
    """Places in [low, high) whose exchange with a partner of gain `best_partner` lowers the cost, the best first.

    Soon few documents are worth moving, and sorting these alone saves most of the sorting.
    """
    places = np.empty(high - low, np.int64)
    size = 0
    for place in range(low, high):
        if gains[place] + best_partner < 0:
            places[size] = place
            size += 1
    places = places[:size]
    return places[np.argsort(gains[places])]


@kernel
def _exchange(starts, terms, order, low, middle, high, used, left, right, to_right, to_left, gains, logarithms):
    """One round of a bisection: documents whose move lowers the cost change sides in pairs.

    Args:
        starts, terms: documents, their heaviest terms.
        order: [documents] int32; [low, middle) is the left half, [middle, high) the right one. Changed.
        used: [u] int32 terms that occur in the range.
        left, right: [terms] int32, how many documents of either half have a term. Changed.
        to_right, to_left: [terms] float32, room for what moving one document costs less.
        gains: [documents] float32, room.
        logarithms: [documents + 4] float32, log2.

    Returns:
        how many pairs were exchanged.
    """
    log_left, log_right = logarithms[middle - low], logarithms[high - middle]
    for index in range(used.size):
        term = used[index]
        in_left, in_right = left[term], right[term]
        now = in_left * (log_left - logarithms[in_left + 1]) + in_right * (log_right - logarithms[in_right + 1])
        if in_left > 0:
            after = (in_left - 1) * (log_left - logarithms[in_left])
            to_right[term] = now - after - (in_right + 1) * (log_right - logarithms[in_right + 2])
        if in_right > 0:
            after = (in_right - 1) * (log_right - logarithms[in_right])
            to_left[term] = now - after - (in_left + 1) * (log_left - logarithms[in_left + 2])
    for place in range(low, high):
        costs = to_right if place < middle else to_left
        gain = np.float32(0)
        for posting in range(starts[order[place]], starts[order[place] + 1]):
            gain += costs[terms[posting]]
        gains[place] = -gain
    lowest_left, lowest_right = gains[low:middle].min(), gains[middle:high].min()
    left_places = _worth_moving(gains, low, middle, lowest_right)
    right_places = _worth_moving(gains, middle, high, lowest_left)
    exchanged = 0
    for pair in range(min(left_places.size, right_places.size)):
        left_place, right_place = left_places[pair], right_places[pair]
        if gains[left_place] + gains[right_place] >= 0:
            break
        goes_right, goes_left = order[left_place], order[right_place]
        for posting in range(starts[goes_right], starts[goes_right + 1]):
            left[terms[posting]] -= 1
            right[terms[posting]] += 1
        for posting in range(starts[goes_left], starts[goes_left + 1]):
            right[terms[posting]] -= 1
            left[terms[posting]] += 1
        order[left_place], order[right_place] = goes_left, goes_right
        exchanged += 1
    return exchanged


@kernel
def _bisect(starts, terms, order, low, high, deepest, gains, logarithms, vocabulary_terms):
    """Bisects order[low:high] and then its halves, until ranges have at most `deepest` documents; `order` is
    changed.
    """
    left = np.zeros(vocabulary_terms, np.int32)
    right = np.zeros(vocabulary_terms, np.int32)
    to_right = np.zeros(vocabulary_terms, np.float32)
    to_left = np.zeros(vocabulary_terms, np.float32)
    used = np.empty(vocabulary_terms, np.int32)
    waiting = [(low, high)]
    while len(waiting) > 0:
        low, high = waiting.pop()
        middle = low + ((high - low) // 2 + BLOCK_DOCUMENTS // 2) // BLOCK_DOCUMENTS * BLOCK_DOCUMENTS
        if high - low <= deepest or middle <= low or middle >= high:
            continue
        size = 0
        for place in range(low, high):
            for posting in range(starts[order[place]], starts[order[place] + 1]):
                term = terms[posting]
                if left[term] == 0 and right[term] == 0:
                    used[size] = term
                    size += 1
                if place < middle:
                    left[term] += 1
                else:
                    right[term] += 1
        for _ in range(_ROUNDS):
            exchanged = _exchange(
                starts, terms, order, low, middle, high, used[:size], left, right, to_right, to_left, gains, logarithms
            )
            if exchanged < _LEAST_SHARE_MOVED * (high - low):
                break
        for index in range(size):
            left[used[index]] = 0
            right[used[index]] = 0
        waiting.append((low, middle))
        waiting.append((middle, high))


def document_order(
    starts: np.ndarray,
    terms: np.ndarray,
    weights: np.ndarray,
    vocabulary_terms: int,
    ordering_terms: int,
    threads: int = 2,
) -> np.ndarray:
    """[documents] int32: the document stored at each place. The same for any number of threads.

    Args:
        starts: [documents + 1] int64, where a document begins in `terms` and `weights`.
        terms: [postings] int32.
        weights: [postings] float32, or impacts as floats.
        vocabulary_terms: size of the vocabulary.
        ordering_terms: heaviest terms of a document that are looked at; 0 keeps the order of input.
        threads: threads for the halves and quarters of the collection.
    """
    documents = starts.size - 1
    if ordering_terms == 0 or documents <= BLOCK_DOCUMENTS:
        return np.arange(documents, dtype=np.int32)
    starts, terms, weights = keep_top_terms(starts, terms, weights, ordering_terms)
    frequency = np.bincount(terms, minlength=vocabulary_terms)
    rarity = np.log((documents + 1) / (frequency + 1)).astype(np.float32)
    keys = np.empty(documents, np.int64)
    _heaviest_pair_keys(starts, terms, weights, rarity, keys)
    order = np.argsort(keys, kind="stable").astype(np.int32)
    del keys, weights
    gains = np.empty(documents, np.float32)
    logarithms = np.log2(np.maximum(1, np.arange(documents + 4))).astype(np.float32)

    def bisect(low: int, high: int, deepest: int) -> None:
        _bisect(starts, terms, order, low, high, deepest, gains, logarithms, vocabulary_terms)

    deepest = -(-documents // (2 * BLOCK_DOCUMENTS)) * BLOCK_DOCUMENTS + BLOCK_DOCUMENTS
    bisect(0, documents, deepest)
    middle = (documents // 2 + BLOCK_DOCUMENTS // 2) // BLOCK_DOCUMENTS * BLOCK_DOCUMENTS
    with ThreadPoolExecutor(threads) as pool:
        halves = [
            pool.submit(bisect, 0, middle, BLOCK_DOCUMENTS),
            pool.submit(bisect, middle, documents, BLOCK_DOCUMENTS),
        ]
        for half in halves:
            half.result()
    return order
