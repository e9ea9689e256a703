"""What frozen towers make of each picture and caption, computed once and remembered.

Shapes: N images, M of them new, B captions, T image tokens, L text tokens, D width of a tower, K looks at a picture, X
width of the teacher's vectors.

Heads that learn on frozen towers see the same tokens in every epoch, and computing those takes most of a step. Kept in
half precision they are a few hundred kilobytes a picture, which small data sets can afford: later epochs then cost a
fraction of the first. Where pictures are read mirrored too in use, both looks are kept: each step has one or the other
of every picture, and the teacher says what it makes of both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lexlip.model.clip import DenseCLIP
from lexlip.model.towers import TwoTowers
from lexlip.objectives.views import Batch, normalised

Rows = dict[int | bytes, Tensor]


@dataclass(frozen=True)
class Remembered:
    """Outputs of the towers for one batch, in single precision and without gradient.

    Attributes:
        image_tokens_NTD, text_states_BLD: of the model's towers, of one look at each image; states of padding are zero.
        other_looks: image tokens [N, T, D] of the looks that were not drawn.
        teacher_vectors: [N, X] and [B, X], the teacher's vectors of images and captions, where there is a teacher;
            those of images are of unit length, or the means of two that are.
    """

    image_tokens_NTD: Tensor
    text_states_BLD: Tensor
    other_looks: tuple[Tensor, ...]
    teacher_vectors: tuple[Tensor, Tensor] | None


class TowerMemory:
    """Outputs of the towers of a model, and of its teacher, by picture and caption.

    Pictures are known by their key, captions by their tokens: a picture must come with the same pixels every time. An
    interrupted phase goes on with an empty memory; what it computes again agrees to half precision.

    Args:
        model: its towers frozen and in evaluation mode.
        teacher: a dense model in evaluation mode.
    """

    def __init__(self, model: TwoTowers, teacher: DenseCLIP | None) -> None:
        self.model, self.teacher = model, teacher
        self._image_tokens: Rows = {}
        self._text_states: Rows = {}
        self._teacher_images: Rows = {}
        self._teacher_texts: Rows = {}

    @cached_property
    def on_teachers_towers(self) -> bool:
        """Whether the model has its teacher's towers, whose outputs then serve both.

        Found out at the first batch: before, the weights of a checkpoint may not be there yet.
        """
        return self.teacher is not None and _same_towers(self.model, self.teacher)

    @torch.no_grad()
    def recall(self, batch: Batch) -> Remembered:
        """The outputs for a batch; those of rows never seen before are computed.

        Which look at a picture it is, where there are two, is drawn anew each time.
        """
        images = batch.image_keys_N.tolist()
        lengths_B = (~self.model.text_padding(batch.token_ids_BL)).sum(dim=1).tolist()
        ids = batch.token_ids_BL.cpu().numpy()
        texts = [row[:length].tobytes() for row, length in zip(ids, lengths_B, strict=True)]
        pixels, token_ids = batch.pixels_N3SS, batch.token_ids_BL
        looks = self._looks(pixels)
        of_looks = _rows(
            self._image_tokens,
            images,
            lambda rows: torch.stack([self.model.image_tokens(look[rows]) for look in looks], dim=1),
        )
        drawn = torch.randint(len(looks), (len(images),)).tolist() if len(looks) > 1 else [0] * len(images)
        tokens_NTD, *others = (
            torch.stack([row[(look + further) % len(looks)].float() for row, look in zip(of_looks, drawn, strict=True)])
            for further in range(len(looks))
        )
        states = _rows(self._text_states, texts, lambda rows: self.model.text_states(token_ids[rows]), lengths_B)
        states_BLD = torch.zeros(*token_ids.shape, states[0].shape[-1], device=token_ids.device)
        for row, state_LD in enumerate(states):
            states_BLD[row, : len(state_LD)] = state_LD.float()
        if self.teacher is None:
            return Remembered(tokens_NTD, states_BLD, tuple(others), None)
        teacher, shared = self.teacher, self.on_teachers_towers

        def image_vectors(rows: Tensor) -> Tensor:
            if shared:
                of_looks_MKTD = torch.stack([of_looks[row].float() for row in rows.tolist()])
                vectors = [teacher.pool_image_tokens(tokens_MTD) for tokens_MTD in of_looks_MKTD.unbind(1)]
            else:
                vectors = [teacher.image_vectors(look[rows]) for look in looks]
            return torch.stack([normalised(vectors_MX) for vectors_MX in vectors]).mean(dim=0)

        def text_vectors(rows: Tensor) -> Tensor:
            ids = token_ids[rows]
            return teacher.pool_text_states(states_BLD[rows], ids) if shared else teacher.text_vectors(ids)

        taught = (
            torch.stack([row.float() for row in _rows(self._teacher_images, images, image_vectors)]),
            torch.stack([row.float() for row in _rows(self._teacher_texts, texts, text_vectors)]),
        )
        return Remembered(tokens_NTD, states_BLD, tuple(others), taught)

    def _looks(self, pixels_N3SS: Tensor) -> list[Tensor]:
        """The pictures as they are, and mirrored where the model reads them so in use."""
        return [pixels_N3SS, pixels_N3SS.flip(-1)] if self.model.preprocessing.mirrored else [pixels_N3SS]


def _same_towers(model: TwoTowers, teacher: DenseCLIP) -> bool:
    pairs = (model.image_tower, teacher.image_tower), (model.text_tower, teacher.text_tower)
    return all(
        mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
        for mine, theirs in ((own.state_dict(), other.state_dict()) for own, other in pairs)
    )


def _rows(
    known: Rows, keys: Sequence[int | bytes], compute: Callable[[Tensor], Tensor], lengths: Sequence[int] | None = None
) -> list[Tensor]:
    """The remembered outputs of some rows, cut to their lengths; missing ones are computed first.

    They are kept in half precision. Make them single before stacking: autocast refuses a kind of half that is not its
    own.
    """
    missing = [row for row, key in enumerate(keys) if key not in known]
    if missing:
        for row, made in zip(missing, compute(torch.tensor(missing)), strict=True):
            # A copy: a view would keep the whole batch's output.
            known[keys[row]] = made[: lengths[row] if lengths is not None else None].half().clone()
    return [known[key] for key in keys]
