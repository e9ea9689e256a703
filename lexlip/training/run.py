"""A training run as one readable object: model, vocabulary, phases."""

import copy
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from lexlip.data.captions import read_captions
from lexlip.data.sources import PairSource
from lexlip.errors import ModelError
from lexlip.model.building import ModelSettings, build_clip, build_lexlip
from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.settings_text import ADDED_LATER, settings_text
from lexlip.training.phases import Phase
from lexlip.vocabulary import Vocabulary


@dataclass(frozen=True)
class VocabularySettings:
    """Where the terms come from.

    Attributes:
        folder: a pretrained WordPiece vocabulary; None trains one from the captions.
        size: most terms of a vocabulary trained from captions.
        restrict: of a pretrained vocabulary, keep only the terms that the captions use.
    """

    folder: str | None = None
    size: int = 2000
    restrict: bool = False


@dataclass(frozen=True)
class Run:
    """Everything that decides what comes out of training, apart from the data and the number of workers.

    Attributes:
        name: for logs and folders.
        kind: the lexicon model or the dense baseline.
        model: towers and heads before training, unless `start_from` brings them.
        vocabulary: terms.
        phases: one after the other.
        seed: of weights, order, augmentation and masks.
        shuffle_rows: rows that each worker mixes beyond the shuffling of whole units.
        teacher: folder of a finished dense model, for phases that follow one. Not part of the fingerprint: the model
            in it has its own.
        towers_of_teacher: the towers start as the teacher's, from dense to sparse, instead of as `model` says.
        images: of the data set that the run is meant for, for dry runs without data; decides nothing.
        start_from: folder of a finished model of the same kind, as which this run's model starts, vocabulary included:
            fine-tuning. Not part of the fingerprint, as `teacher`.
        fine_tunes: the phases make sense only for such a model; decides nothing, as `images`.
    """

    name: str
    kind: Literal["lexlip", "clip"]
    model: ModelSettings
    phases: tuple[Phase, ...]
    vocabulary: VocabularySettings = field(default_factory=VocabularySettings)
    seed: int = 0
    shuffle_rows: int = 1024
    teacher: str | None = field(default=None, repr=False, metadata=ADDED_LATER)
    towers_of_teacher: bool = field(default=False, metadata=ADDED_LATER)
    images: int | None = field(default=None, repr=False, metadata=ADDED_LATER)
    start_from: str | None = field(default=None, repr=False, metadata=ADDED_LATER)
    fine_tunes: bool = field(default=False, repr=False, metadata=ADDED_LATER)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any setting."""
        return hashlib.sha256(settings_text(self).encode()).hexdigest()[:16]

    def with_absolute_paths(self) -> "Run":
        """The same run for a process with another working directory: local weights and vocabulary by absolute path."""

        def absolute(path: str | None) -> str | None:
            return str(Path(path).absolute()) if path is not None and Path(path).exists() else path

        model = replace(
            self.model,
            image_weights=absolute(self.model.image_weights),
            text_weights=absolute(self.model.text_weights),
        )
        vocabulary = replace(self.vocabulary, folder=absolute(self.vocabulary.folder))
        return replace(
            self,
            model=model,
            vocabulary=vocabulary,
            teacher=absolute(self.teacher),
            start_from=absolute(self.start_from),
        )

    def require_origin(self) -> None:
        """Raises `ModelError` when a run that fine-tunes has no model to start from."""
        if self.fine_tunes and self.start_from is None:
            raise ModelError(f"run {self.name!r} fine-tunes a trained model; give --start-from, the folder of one")

    def make_vocabulary(self, source: PairSource) -> Vocabulary:
        """The run's vocabulary: of the model it starts from, from its folder, or from the training data's captions."""
        if self.start_from is not None:
            return Vocabulary.load(self.start_from)
        if self.vocabulary.folder is None:
            return Vocabulary.train(read_captions(source), self.vocabulary.size)
        whole = Vocabulary.load(self.vocabulary.folder)
        return whole.restrict(read_captions(source)) if self.vocabulary.restrict else whole

    def build(self, vocabulary: Vocabulary) -> LexLIP | DenseCLIP:
        """The model before training; seed torch first.

        Raises:
            ModelError: weights are missing or do not fit, or the model to start from is of the other kind.
        """
        if self.start_from is None:
            return (build_lexlip if self.kind == "lexlip" else build_clip)(self.model, vocabulary)
        if self.towers_of_teacher:
            raise ModelError(f"run {self.name!r}: its towers are its teacher's, so it cannot start from another model")
        return (LexLIP if self.kind == LexLIP.kind else DenseCLIP).from_pretrained(self.start_from)

    def load_teacher(self, vocabulary: Vocabulary) -> DenseCLIP | None:
        """The dense model that phases follow, in evaluation mode and without gradients; None when none does.

        Raises:
            ModelError: a phase follows a teacher and the run has none, or the reverse; it is no dense model, or its
                towers do not take the phase's images or captions.
            VocabularyError: the teacher was trained with another vocabulary.
        """
        following = [phase for phase in self.phases if phase.follows_teacher]
        if self.teacher is None:
            if following or self.towers_of_teacher:
                what = f"phase {following[0].name} follows" if following else "the towers are those of"
                raise ModelError(
                    f"run {self.name!r}: {what} a dense teacher; give --teacher, the folder of a dense model trained "
                    "on the same data"
                )
            return None
        if not (following or self.towers_of_teacher):
            raise ModelError(f"run {self.name!r}: no phase follows a teacher; leave --teacher out")
        teacher = DenseCLIP.from_pretrained(self.teacher)
        teacher.vocabulary.require_same(vocabulary.fingerprint, f"the student of {self.teacher}")
        for phase in following:
            copy.deepcopy(teacher).set_image_size(phase.image_size)
            if phase.examples.text_tokens > teacher.text_tower.positions:
                raise ModelError(
                    f"{self.teacher}: a teacher of {teacher.text_tower.positions} text positions, and phase "
                    f"{phase.name} has captions of {phase.examples.text_tokens} tokens"
                )
        return teacher.requires_grad_(False)
