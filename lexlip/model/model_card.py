"""The model card: README.md of a model folder, for people and for the Hugging Face Hub, made from what is known."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexlip.errors import DataError, ModelError

CARD_FILE = "README.md"
CONFIG_FILE = "config.json"
TEXT_SHAPE = ("model_type", "hidden_size", "num_hidden_layers")  # settings of transformers that a reader knows
MADE_BY = "<!-- made by `lexlip card`; running it again replaces this file -->"


@dataclass(frozen=True)
class CardFacts:
    """What a model folder does not say by itself.

    Attributes:
        name: title of the card.
        data: what the model was trained on, in a sentence.
        data_terms: under which terms that data may be used.
        licence: identifier of the weights' licence, as the Hub knows it ("apache-2.0", "cc-by-nc-4.0", "other").
        language: of the captions, as a code.
    """

    name: str
    data: str
    data_terms: str
    licence: str = "other"
    language: str = "en"


def write_model_card(folder: Path, facts: CardFacts, evaluation: Mapping[str, Any] | None = None) -> Path:
    """Writes the card of a model folder; a card that somebody wrote by hand is left alone.

    Args:
        folder: of a saved model.
        facts: about data and licence.
        evaluation: what `pipelines/evaluate.py --json` wrote, or None.

    Raises:
        ModelError: no model folder, or its README.md was not made by this function.
        DataError: the evaluation is no such record.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise ModelError(f"{folder}: no {CONFIG_FILE}; not a model folder")
    card = folder / CARD_FILE
    if card.is_file() and MADE_BY not in card.read_text(encoding="utf-8"):
        raise ModelError(f"{card} was not made by this command: move it away to have another made")
    configuration = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    text = model_card(configuration, facts, evaluation)
    temporary = card.with_name(f"{card.name}.tmp-{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(card)
    return card


def model_card(configuration: Mapping[str, Any], facts: CardFacts, evaluation: Mapping[str, Any] | None = None) -> str:
    """The text of a card, from a model's config.json."""
    parts = [
        _front_matter(facts),
        MADE_BY,
        f"# {facts.name}",
        _what_it_is(configuration),
        "## Use\n\n" + _use(configuration),
        "## Training data\n\n" + f"{facts.data}\n\nTerms of the data: {facts.data_terms}",
        "## Settings\n\n" + _settings(configuration),
        "## Recall and sparsity\n\n" + _results(evaluation),
        f"## Licence\n\nWeights: {facts.licence}. A model may repeat what its data shows and says, and its terms "
        "apply to what is made from it; the towers it started from have licences of their own.",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(facts: CardFacts) -> str:
    record: dict[str, Any] = {
        "language": facts.language,
        "license": facts.licence,
        "library_name": "lexlip",
        "pipeline_tag": "feature-extraction",
        "tags": ["image-text-retrieval", "sparse-encoder", "lexlip", "splade"],
    }
    # JSON is YAML, and quotes whatever needs quoting.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in record.items()]
    return "\n".join(["---", *lines, "---"])


def _what_it_is(configuration: Mapping[str, Any]) -> str:
    if configuration["kind"] == "lexlip":
        kind = (
            "Turns pictures and texts into sparse weights over one vocabulary, for retrieval on an inverted index "
            "(LexLIP, [arXiv 2302.02908](https://arxiv.org/abs/2302.02908))."
        )
    else:
        kind = "Turns pictures and texts into dense vectors of unit length: a baseline with a LexLIP model's towers."
    return f"{kind} Fingerprint `{configuration['fingerprint']}`."


def _use(configuration: Mapping[str, Any]) -> str:
    if configuration["kind"] == "lexlip":
        lines = [
            "from lexlip.model.sparse_encoder import SparseEncoder",
            "",
            'encoder = SparseEncoder.from_pretrained("path/to/this/folder")',
            'queries = encoder.encode_query(["a red boat on the sea"])',
            'pictures = encoder.encode_document([open("boat.jpg", "rb").read()])',
            "print(encoder.similarity(queries, pictures), encoder.decode(pictures, top_k=5))",
        ]
    else:
        lines = ["from lexlip.model.clip import DenseCLIP", ""]
        lines += ['model = DenseCLIP.from_pretrained("path/to/this/folder")']
    return "\n".join(["```python", *lines, "```"])


def _settings(configuration: Mapping[str, Any]) -> str:
    image, preprocessing = configuration["image_tower"], configuration["preprocessing"]
    text = configuration["text_tower"]
    looks = ", mirrored too" if preprocessing.get("mirrored") else ""
    shape = ", ".join(f"{name} {text[name]}" for name in TEXT_SHAPE if name in text)
    rows = {
        "image tower": f"{image['architecture']}, {preprocessing['size']} pixels ({preprocessing['resize']}{looks})",
        "text tower": shape,
        "vocabulary": f"fingerprint {configuration['vocabulary_fingerprint']}",
        **{name.replace("_", " "): str(value) for name, value in configuration.get("training", {}).items()},
    }
    return "\n".join(["| setting | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _results(evaluation: Mapping[str, Any] | None) -> str:
    if evaluation is None:
        return "Not evaluated."
    try:
        rows = [
            f"| {name.replace('_', ' ')} | "
            + " | ".join(str(evaluation[name][at]) for at in ("r1", "r5", "r10"))
            + " |"
            for name in ("text_to_image", "image_to_text")
        ]
        looks = ", images read mirrored too" if evaluation.get("mirrored") else ""
        counts = f"{evaluation['images']:,} images, {evaluation['captions']:,} captions{looks}"
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"this is no record of pipelines/evaluate.py --json ({error!r} is missing)") from error
    lines = [f"On {counts}, in percent:", "", "| direction | R@1 | R@5 | R@10 |", "|---|---|---|---|", *rows]
    if "terms" in evaluation:
        terms = evaluation["terms"]
        lines += ["", f"Terms: {terms['image_mean']} an image, {terms['text_mean']} a text."]
    if "top_terms_in_captions" in evaluation:
        lines += [
            f"Of the ten heaviest terms of a picture {evaluation['top_terms_in_captions']} % occur in its captions."
        ]
    if "telling_terms_in_captions" in evaluation:
        lines += [f"Of the ten heaviest without little words {evaluation['telling_terms_in_captions']} % do."]
    return "\n".join(lines)
