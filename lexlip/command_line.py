"""The command `lexlip`: searching an index, looking into it and after it, and exchanging it with other engines.

Exit status 2 and one line when something is wrong with the input. `lexlip --tyro-print-completion bash` (or zsh, tcsh)
prints a script for the shell's completion.
"""

import sys
from collections.abc import Callable
from typing import Any

import tyro

from lexlip.commands.carding import Card
from lexlip.commands.exchanging import Export, Import
from lexlip.commands.index_care import IndexCommands
from lexlip.commands.inspecting import InspectCommands
from lexlip.commands.searching import Explain, Search
from lexlip.commands.sizing import Size
from lexlip.errors import LexLIPError

COMMANDS: dict[str, Callable[..., Any]] = {
    "search": Search,
    "explain": Explain,
    "inspect": InspectCommands,
    "index": IndexCommands,
    "size": Size,
    "export": Export,
    "import": Import,
    "card": Card,
}


def main() -> int:
    """Entry point of the command."""
    commands = tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="lexlip", description=__doc__)
    try:
        return commands.run()
    except LexLIPError as error:
        print(f"lexlip: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
