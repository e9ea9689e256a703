"""Errors that a user can act on.

Entry points print the message of a `LexLIPError` as one line and exit with status 2; anything else is a bug and keeps
its traceback. A message names the file, row or field at fault and says what to do.
"""


class LexLIPError(Exception):
    """Base of all errors caused by input, settings or files rather than by a defect."""


class DataError(LexLIPError):
    """A data source is missing, empty or not in a form that can be read."""


class BadImage(DataError):
    """One image cannot be decoded safely; the row is dropped and counted, the job goes on."""


class VocabularyError(LexLIPError):
    """A vocabulary is unusable, or two artefacts were made with different vocabularies."""


class ModelError(LexLIPError):
    """A model folder or checkpoint is missing, incomplete or does not fit its configuration."""


class IndexFormatError(LexLIPError):
    """An index or one of its files is missing, foreign, truncated, corrupted or of another format version."""


class StorageError(LexLIPError):
    """A bucket, folder or file behind a URL cannot be reached, read or written."""


class QueryError(LexLIPError):
    """A query cannot be answered as asked: too many terms, unknown term, non-finite weight."""
