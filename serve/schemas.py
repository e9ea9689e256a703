"""What goes in and out over HTTP; the OpenAPI page is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

LARGEST_K = 200
LARGEST_TEXT = 2000
LARGEST_TERMS = 256
LARGEST_WEIGHT = 100.0
LARGEST_ID = 1024
LARGEST_FILTERS = 16
CAPTIONS_SHARE = "Share of the score for words that the pictures' captions say (BM25); 0 leaves captions alone."

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LARGEST_TEXT)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Weight = Annotated[float, Field(ge=-LARGEST_WEIGHT, le=LARGEST_WEIGHT, allow_inf_nan=False)]
FilterValue = str | bool | int | float | list[str | bool | int | float] | dict[str, float]


class SearchOptions(BaseModel):
    """What every search may set."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(10, ge=1, le=LARGEST_K, description="How many pictures to return.")
    explain: bool = Field(False, description="Say for every hit which words made up its score.")
    require_complete: bool = Field(False, description="Answer 503 instead of a partial answer when a shard is missing.")
    captions: float = Field(0.0, ge=0, le=1, description=CAPTIONS_SHARE)
    filters: dict[str, FilterValue] = Field(
        default_factory=dict,
        max_length=LARGEST_FILTERS,
        description='On stored fields: {"field": value}, {"field": [any, of]} or {"field": {"min": 1, "max": 2}}.',
    )


class SearchRequest(SearchOptions):
    """A query as JSON: exactly one of `text`, `image_id` and `terms`; a picture comes as multipart/form-data."""

    text: Text | None = Field(None, description="Words to search with.")
    image_id: str | None = Field(
        None, min_length=1, max_length=LARGEST_ID, description="More like this picture of the corpus."
    )
    terms: dict[Word, Weight] | None = Field(
        None,
        min_length=1,
        max_length=LARGEST_TERMS,
        description="Terms or words with weights; a negative weight excludes the pictures that show the word.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> SearchRequest:
        given = [name for name in ("text", "image_id", "terms") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of text, image_id and terms, not {', '.join(given) or 'none'}")
        return self


class EncodeRequest(BaseModel):
    """A text to encode. (A picture is uploaded as multipart/form-data.)"""

    model_config = ConfigDict(extra="forbid")

    text: Text


class TermWeight(BaseModel):
    """One term of the vocabulary with its weight."""

    term: str
    weight: float


class WordWeight(BaseModel):
    """One whole word, the terms the vocabulary splits it into, and their weights' sum (negative: excluded)."""

    word: str
    weight: float
    terms: list[str]


class Matched(BaseModel):
    """What one word added to a hit's score; the shares of a hit add up to 1."""

    word: str
    contribution: float
    share: float
    field: Literal["lexicon", "captions"] = Field(description="Seen in the picture, or said in its captions.")


class HitAnswer(BaseModel):
    """One picture found."""

    id: str
    score: float
    fields: dict[str, Any] = Field(description="Stored fields, without pictures.")
    matched: list[Matched] | None = Field(None, description="With `explain` only.")


class QueryAnswer(BaseModel):
    """The query as it was searched."""

    text: str | None = None
    image_id: str | None = None
    terms: list[TermWeight]
    words: list[WordWeight]


class ShardCounts(BaseModel):
    """How many shards of the index answered; `total` = `ok` + `timed_out` + `failed`."""

    total: int
    ok: int
    timed_out: int
    failed: int


class SearchAnswer(BaseModel):
    """The best pictures for one query."""

    query: QueryAnswer
    hits: list[HitAnswer]
    shards: ShardCounts
    generation: int = Field(description="Generation of the index that answered.")
    took_ms: dict[str, float] = Field(description="Milliseconds by stage and in total.")


class EncodeAnswer(BaseModel):
    """A text or picture as lexicon vector, heaviest term first."""

    terms: list[TermWeight]
    words: list[WordWeight]
    took_ms: dict[str, float]


class WordsAnswer(BaseModel):
    """A picture's own heaviest terms, as indexed."""

    id: str
    terms: list[TermWeight]
    generation: int


class HeatAnswer(BaseModel):
    """Where a word is on a picture: one value per patch, row by row, 0 (not at all) to 1 (most)."""

    id: str
    term: str
    rows: int
    columns: int
    values: list[list[float]]
    peak: tuple[int, int] = Field(description="Row and column of the strongest patch.")


class CaptionFacts(BaseModel):
    """What is indexed of captions."""

    documents: int = Field(description="Pictures with captions, deleted ones counted until shards are merged.")
    terms: int = Field(description="Terms of the vocabulary that captions use.")
    mean_length: float
    k1: float
    b: float


class StatsAnswer(BaseModel):
    """What is being served."""

    documents: int
    shards: int
    shard_documents: list[int]
    generation: int
    bytes: int = Field(description="Bytes of the posting files, stored fields not included.")
    model_fingerprint: str
    vocabulary_fingerprint: str
    vocabulary_terms: int
    stored_fields: list[str]
    captions: CaptionFacts | None = Field(None, description="None when captions cannot be searched.")
    capacity: int
    refused_generation: str | None = Field(None, description="Why a newly published generation is not served, if so.")
    shard_deployments: list[dict[str, Any]]


class Health(BaseModel):
    """Liveness or readiness."""

    status: str
    detail: str | None = None


class Problem(BaseModel):
    """What is wrong with a request."""

    detail: str
