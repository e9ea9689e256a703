"""`lexlip card`: the model card of a model folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lexlip.errors import DataError
from lexlip.model.model_card import CardFacts, write_model_card


@dataclass(frozen=True)
class Card:
    """Write README.md into a model folder: its model card, ready for `hf upload`.

    Attributes:
        model: the model folder.
        facts: what the folder does not know.
        recall: what `pipelines/evaluate.py --json` wrote.
    """

    model: tyro.conf.Positional[Path]
    facts: Annotated[CardFacts, tyro.conf.arg(name="")]
    recall: Path | None = None

    def run(self) -> int:
        """Writes the card."""
        evaluation = None
        if self.recall is not None:
            try:
                evaluation = json.loads(self.recall.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise DataError(f"{self.recall}: not a readable record of recall ({error})") from error
        print(write_model_card(self.model, self.facts, evaluation))
        return 0
