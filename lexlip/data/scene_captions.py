"""How drawn scenes are told: as people do, with synonyms, with details left out, in several kinds of sentence."""

from collections.abc import Callable, Sequence

import numpy as np

from lexlip.data.scene_layout import COUNTS, Group, Scene

Teller = Callable[[Scene, np.random.Generator], str]

# Singular names of each thing, the usual one first; plurals add "s" unless listed in IRREGULAR.
NAMES: dict[str, tuple[str, ...]] = {
    "ball": ("ball", "basketball"),
    "bell": ("bell",),
    "boat": ("boat", "sailboat", "ship"),
    "box": ("box", "crate"),
    "car": ("car", "automobile"),
    "cat": ("cat", "kitten"),
    "cup": ("cup", "mug"),
    "flower": ("flower", "blossom"),
    "hat": ("hat", "top hat"),
    "house": ("house", "cottage", "home"),
    "lamp": ("lamp", "table lamp"),
    "moon": ("moon", "crescent moon"),
    "mushroom": ("mushroom", "toadstool"),
    "rocket": ("rocket", "spaceship"),
    "umbrella": ("umbrella", "parasol"),
}
IRREGULAR = {
    "box": "boxes",
    "butterfly": "butterflies",
    "cactus": "cactuses",
    "fish": "fish",
    "leaf": "leaves",
    "toadstool": "toadstools",
}
SIZE_WORDS = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium-sized", "medium"),
    "large": ("large", "big", "huge"),
}
PLACE_WORDS = {
    "center": ("in the center", "in the middle"),
    "left": ("on the left", "on the left side", "to the left"),
    "right": ("on the right", "on the right side", "to the right"),
    "top": ("at the top", "up at the top", "high up"),
    "bottom": ("at the bottom", "down at the bottom", "low down"),
}
RELATION_WORDS = {"above": ("above", "over"), "below": ("below", "under", "beneath"), "beside": ("beside", "next to")}
REVERSED = {"above": "below", "below": "above", "beside": "beside"}
SETTING_WORDS = {
    "beach": ("on the beach", "at the beach", "on a sandy beach", "by the shore"),
    "city": ("in the city", "in a big city", "in front of tall buildings"),
    "desert": ("in the desert", "among desert dunes", "in a sandy desert"),
    "forest": ("in the forest", "in a pine forest", "in the woods"),
    "meadow": ("in a meadow", "in a green meadow", "on the grass"),
    "mountains": ("in the mountains", "in front of snowy mountains", "below high mountains"),
    "night": ("at night", "in the dark night", "under the night sky"),
    "road": ("on the road", "on a road", "in the middle of the road"),
    "room": ("in a room", "inside a room", "in a room with a window"),
    "sea": ("at sea", "on the sea", "on the blue sea"),
    "snow": ("in the snow", "on a snowy day", "in deep snow"),
    "sunset": ("at sunset", "during a sunset", "in front of the sunset"),
}
FRAMES = ("a picture of", "a drawing of", "an image of", "we see", "here is a scene with", "a scene with")


def tell(scene: Scene, count: int, rng: np.random.Generator) -> list[str]:
    """Different captions of one scene, of different kinds as far as there are kinds."""
    captions: list[str] = []
    while len(captions) < count:
        for position in rng.permutation(len(TELLERS)):
            caption = _finish(TELLERS[position](scene, rng), rng)
            if caption not in captions and len(captions) < count:
                captions.append(caption)
    return captions


def _one_of(words: Sequence[str], rng: np.random.Generator) -> str:
    """The first word half of the time, else any: some words are commoner than others."""
    return words[0] if rng.random() < 0.5 else words[int(rng.integers(len(words)))]


def _phrase(group: Group, rng: np.random.Generator, *, colour: float, size: float, number: float = 0.9) -> str:
    """A noun phrase; `colour`, `size` and `number` are the chances that each is told."""
    words: list[str] = []
    if rng.random() < size * (0.3 if group.size == "medium" else 1.0):
        words.append(_one_of(SIZE_WORDS[group.size], rng))
    if rng.random() < colour:
        words.append(group.colour)
    noun = _one_of(NAMES.get(group.thing, (group.thing,)), rng)
    if group.count > 1:
        noun = IRREGULAR.get(noun, f"{noun}s")
        number_word = COUNTS[group.count - 1] if rng.random() < number else "some" if group.count < 4 else "several"
        return " ".join([number_word, *words, noun])
    words.append(noun)
    article = "one" if rng.random() < 0.1 else "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words])


def _place(group: Group, rng: np.random.Generator) -> str:
    return _one_of(PLACE_WORDS[group.place], rng)


def _setting(scene: Scene, rng: np.random.Generator) -> str:
    return _one_of(SETTING_WORDS[scene.setting], rng)


def _join(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _everything(scene: Scene, rng: np.random.Generator) -> str:
    return (
        f"{_join([_phrase(group, rng, colour=1, size=0.7, number=1) for group in scene.groups])} {_setting(scene, rng)}"
    )


def _relation(scene: Scene, rng: np.random.Generator) -> str:
    """How two groups stand to each other, or where the only one is."""
    first = scene.groups[0]
    if not scene.relation:
        return f"{_phrase(first, rng, colour=0.9, size=0.6)} {_place(first, rng)}"
    second, relation = scene.groups[1], scene.relation
    if rng.random() < 0.5:
        first, second, relation = second, first, REVERSED[relation]
    words = _one_of(RELATION_WORDS[relation], rng)
    told = f"{_phrase(first, rng, colour=0.8, size=0.3)} {words} {_phrase(second, rng, colour=0.8, size=0.3)}"
    return f"{told} {_setting(scene, rng)}" if rng.random() < 0.4 else told


def _places(scene: Scene, rng: np.random.Generator) -> str:
    told = [f"{_phrase(group, rng, colour=0.8, size=0.3)} {_place(group, rng)}" for group in scene.groups]
    if rng.random() < 0.4:
        verb = "are" if scene.groups[0].count > 1 else "is"
        told[0] = f"there {verb} {told[0]}"
    return f"{_join(told)}, {_setting(scene, rng)}" if rng.random() < 0.5 else _join(told)


def _framed(scene: Scene, rng: np.random.Generator) -> str:
    """The first two groups, in a frame as of a photo."""
    told = _join([_phrase(group, rng, colour=0.8, size=0.5) for group in scene.groups[:2]])
    return f"{_one_of(FRAMES, rng)} {told} {_setting(scene, rng)}"


def _brief(scene: Scene, rng: np.random.Generator) -> str:
    """Few words: things without all of their details."""
    told = _join([_phrase(group, rng, colour=0.5, size=0.1, number=0.6) for group in scene.groups])
    return f"{told} {_setting(scene, rng)}"


def _setting_first(scene: Scene, rng: np.random.Generator) -> str:
    told = _join([_phrase(group, rng, colour=0.9, size=0.3) for group in scene.groups])
    return f"{_setting(scene, rng)}, {'there are ' if scene.groups[0].count > 1 else 'there is '}{told}"


TELLERS: tuple[Teller, ...] = (_everything, _relation, _places, _framed, _brief, _setting_first)


def _finish(caption: str, rng: np.random.Generator) -> str:
    """Capital and full stop, as some people write and others do not."""
    written = caption[0].upper() + caption[1:] if rng.random() < 0.7 else caption
    return f"{written}." if rng.random() < 0.5 else written
