"""Settings as text, for fingerprints that outlast new versions of the program."""

from dataclasses import fields, is_dataclass
from typing import Any

# Marks settings that earlier versions did not have: at their default they leave a run's fingerprint as it was, so that
# a training that an earlier version began can go on.
ADDED_LATER = {"added_later": True}


def settings_text(value: Any) -> str:
    """`repr`, without settings that were added to the program later and have their default."""
    if is_dataclass(value) and not isinstance(value, type):
        shown = [
            f"{each.name}={settings_text(getattr(value, each.name))}"
            for each in fields(value)
            if each.repr and not (each.metadata == ADDED_LATER and getattr(value, each.name) == each.default)
        ]
        return f"{type(value).__qualname__}({', '.join(shown)})"
    if type(value) is tuple:
        return "(" + ", ".join(settings_text(item) for item in value) + (",)" if len(value) == 1 else ")")
    return repr(value)
