"""How a command line takes a folder that may be behind a URL."""

from pathlib import Path
from typing import Annotated

import tyro

from lexlip.storage import Location, RemotePath, locate

LocationArgument = Annotated[
    Location,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH|URL",
        instance_from_str=lambda words: locate(words[0]),
        is_instance=lambda value: isinstance(value, Path | RemotePath),
        str_from_instance=lambda location: [str(location)],
    ),
]
