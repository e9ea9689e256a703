"""Serves an index in the Ray that is running, asks one query over HTTP, and takes the application down again."""

import json
import socket
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from ray import serve

from serve.app import lexlip

HOST = "127.0.0.1"
APPLICATION = "lexlip-demo"
TIMEOUT_SECONDS = 60.0


def ask_served(index: Path, model: Path, query: str, hits: int) -> dict:
    """The JSON answer of `GET /search` for one query, from the same application that `serve run serve.app:lexlip` runs.

    Args:
        index: folder of the index.
        model: folder of the LexLIP model.
        query: text.
        hits: how many.
    """
    port = _free_port()
    serve.start(http_options={"host": HOST, "port": port})
    try:
        serve.run(lexlip({"index": str(index), "model": str(model)}), name=APPLICATION, route_prefix="/")
        address = f"http://{HOST}:{port}/search?{urlencode({'q': query, 'k': hits})}"
        print(f"GET {address}", flush=True)
        with urlopen(address, timeout=TIMEOUT_SECONDS) as response:
            return json.load(response)
    finally:
        serve.shutdown()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
