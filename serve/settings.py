"""What an operator can set, and how `serve run serve.app:lexlip name=value ...` becomes settings."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing
from dataclasses import dataclass
from pathlib import Path

from lexlip.errors import LexLIPError
from lexlip.model.query_lookup import LOOKUP_FILE
from lexlip.storage import locate

DEMO_INDEX = Path("out/demo/index")
DEMO_MODEL = Path("out/demo/lexlip")
API_KEY_VARIABLE = "LEXLIP_API_KEY"


class SettingsError(LexLIPError):
    """An argument of the application is unknown, malformed, or names something that is not there."""


@dataclass(frozen=True)
class ServeSettings:
    """Arguments of the application.

    Attributes:
        index: folder or URL of the index; a new generation published there is picked up while serving.
        model: folder of the LexLIP model whose vectors the index holds.
        lookup: folder of a query lookup (`pipelines/learn_lookup.py`): the gateway looks texts up, in microseconds, and
            there is no text encoder. Empty for the model's own text tower, which finds more.
        device: where the encoders run, "cpu" or "cuda".
        documents_per_replica: shards are put together in one deployment until they hold about so many documents. A call
            to another deployment takes 2 ms, searching a million documents for 64 terms 0.8.
        replicas: replicas of every shard deployment; two let one die without a failed request.
        encoder_replicas: replicas of the text and of the image encoder.
        gateway_replicas: replicas of the gateway; while its only one is started again, requests wait.
        threads: searches too long for the event loop that a shard replica runs at a time, and threads a search over
            several shards may use.
        cpus: CPUs reserved per replica with Ray's scheduler; below one because replicas mostly wait.
        deadline_ms: in which a query is answered, without the shards that have not by nine tenths of it.
        encode_deadline_ms: how long a query waits for its encoder before it is refused with 503.
        capacity: requests worked on at a time; more are refused at once with 503 and Retry-After.
        retry_after_s: what a refused client is told to wait.
        query_terms: terms of an encoded query that are searched, those that together say most.
        cached_queries: encoded texts the gateway remembers, for search as you type.
        max_upload_bytes: largest request body.
        max_image_pixels: largest picture decoded.
        swap_check_s: seconds between looks for a new index generation.
        kept_generations: index generations a process keeps open for the requests still using them.
    """

    index: str = str(DEMO_INDEX)
    model: str = str(DEMO_MODEL)
    lookup: str = ""
    device: str = "cpu"
    documents_per_replica: int = 1_000_000
    replicas: int = 2
    encoder_replicas: int = 1
    gateway_replicas: int = 1
    threads: int = 2
    cpus: float = 0.1
    deadline_ms: float = 1000.0
    encode_deadline_ms: float = 10_000.0
    capacity: int = 32
    retry_after_s: int = 1
    query_terms: int = 32
    cached_queries: int = 4096
    max_upload_bytes: int = 10 * 2**20
    max_image_pixels: int = 25_000_000
    swap_check_s: float = 0.25
    kept_generations: int = 4

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not value > 0:
                raise SettingsError(f"{field.name}={value}: has to be greater than zero.")

    @classmethod
    def from_arguments(cls, arguments: dict[str, str]) -> ServeSettings:
        """Settings from `name=value` arguments, as `serve run` and a Serve config file hand them over.

        Raises:
            SettingsError: an unknown name, or a value that is not of the setting's type.
        """
        kinds = typing.get_type_hints(cls)
        unknown = sorted(set(arguments) - set(kinds))
        if unknown:
            raise SettingsError(f"unknown argument(s) {', '.join(unknown)}; there are: {', '.join(kinds)}.")
        values = {}
        for name, text in arguments.items():
            try:
                values[name] = kinds[name](text)
            except (TypeError, ValueError) as error:
                raise SettingsError(f"{name}={text!r}: expected {kinds[name].__name__}.") from error
        return cls(**values)

    def located(self) -> ServeSettings:
        """The same with absolute paths (a URL is one), since replicas run in other folders.

        Raises:
            SettingsError: the index, the model or the lookup is not there; the message says what makes it.
        StorageError: the index is behind a URL that cannot be reached.
        """
        index, model = locate(self.index).absolute(), Path(self.model).absolute()
        for name, folder, needed in (("index", index, "index.json"), ("model", model, "config.json")):
            if not (folder / needed).is_file():
                default = {"index": DEMO_INDEX, "model": DEMO_MODEL}[name].absolute()
                remedy = (
                    "run `make demo` to make it"
                    if folder == default
                    else f"give {name}=FOLDER; pipelines/{'encode' if name == 'index' else 'pretrain'}.py writes one"
                )
                raise SettingsError(f"{folder}: no {name} there ({needed} is missing); {remedy}.")
        lookup = Path(self.lookup).absolute() if self.lookup else None
        if lookup is not None and not (lookup / LOOKUP_FILE).is_file():
            raise SettingsError(f"{lookup}: no {LOOKUP_FILE} there; pipelines/learn_lookup.py makes one.")
        return dataclasses.replace(self, index=str(index), model=str(model), lookup=str(lookup or ""))


def key_digest() -> bytes | None:
    """SHA-256 of the API key in the environment, or None when none is set; only the digest travels to the gateway."""
    key = os.environ.get(API_KEY_VARIABLE, "")
    return hashlib.sha256(key.encode()).digest() if key else None
