"""The lexicon model and the dense baseline: towers, lexicon heads, weakened decoder, saving and loading."""
