"""How good a model is: recall of retrieval in both directions, and what its lexicon vectors look like."""
