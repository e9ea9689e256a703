"""LexLIP: image-text retrieval on an inverted index.

The library knows no Ray; `pipelines` and `serve` spread it over a cluster. Start at `lexlip.model.lexlip.LexLIP` and
`lexlip.index.Index`.
"""
