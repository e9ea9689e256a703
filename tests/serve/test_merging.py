"""Merging the shards' rankings is sorting all of their documents together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serve.merging import Ranking, merge

# Few different scores, so that ties are the rule.
scores = st.sampled_from([0.25, 0.5, 0.75, 1.0])


@given(st.lists(st.lists(scores, max_size=8), max_size=5), st.integers(1, 12))
def test_merging_rankings_gives_the_best_of_all_documents_with_ties_by_position(
    shards: list[list[float]], k: int
) -> None:
    documents = [(score, place) for place, score in enumerate(score for shard in shards for score in shard)]
    rankings, first = [], 0
    for shard in shards:
        own = sorted(documents[first : first + len(shard)], key=lambda pair: (-pair[0], pair[1]))
        rankings.append(
            Ranking(np.array([place for _, place in own], np.int64), np.array([s for s, _ in own], np.float32))
        )
        first += len(shard)

    merged = merge(rankings, k)

    expected = sorted(documents, key=lambda pair: (-pair[0], pair[1]))[:k]
    assert list(zip(merged.scores.tolist(), merged.positions.tolist(), strict=True)) == expected


def test_the_order_of_answers_does_not_matter() -> None:
    one = Ranking(np.array([3, 1]), np.array([0.5, 0.25], np.float32))
    other = Ranking(np.array([7, 5]), np.array([0.5, 0.25], np.float32))

    assert merge([other, one], 4).positions.tolist() == merge([one, other], 4).positions.tolist() == [3, 7, 1, 5]
