"""What a drawn scene holds: one to three groups of things, with colour, size, count and place, in a setting."""

from dataclasses import dataclass

import numpy as np

from lexlip.data.scene_backdrops import BACKDROPS
from lexlip.data.scene_objects import THINGS
from lexlip.data.scene_pen import COLOURS

SIZES: dict[str, float] = {"small": 0.22, "medium": 0.33, "large": 0.5}  # diameter as a share of the picture's side
COUNTS: tuple[str, ...] = ("one", "two", "three", "four", "five")
PLACES: tuple[str, ...] = ("center", "left", "right", "top", "bottom")
RELATIONS: tuple[str, ...] = ("above", "below", "beside")
# Where the members of a group stand around its centre, in their diameters.
FORMATIONS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.0, 0.0),),
    ((-0.53, 0.0), (0.53, 0.0)),
    ((-0.53, 0.42), (0.53, 0.42), (0.0, -0.5)),
    ((-0.53, -0.52), (0.53, -0.52), (-0.53, 0.52), (0.53, 0.52)),
    ((-0.66, -0.62), (0.66, -0.62), (0.0, 0.0), (-0.66, 0.62), (0.66, 0.62)),
)
# Most members of a group by its size, where it has the picture to itself and where it shares it.
ROOM_ALONE = {"small": 5, "medium": 5, "large": 1}
ROOM_SHARED = {"small": 4, "medium": 2, "large": 1}
ROOM_OF_THREE = {"small": 3, "medium": 1, "large": 1}
# By the number of groups: where each of them stands, and its centre as shares of the side.
ARRANGEMENTS: dict[int, tuple[dict[str, tuple[float, float]], ...]] = {
    1: (
        {"center": (0.5, 0.52)},
        {"left": (0.26, 0.52)},
        {"right": (0.74, 0.52)},
        {"top": (0.5, 0.26)},
        {"bottom": (0.5, 0.76)},
    ),
    2: ({"left": (0.25, 0.52), "right": (0.75, 0.52)}, {"top": (0.5, 0.26), "bottom": (0.5, 0.76)}),
    3: (
        {"left": (0.25, 0.3), "right": (0.75, 0.3), "bottom": (0.5, 0.76)},
        {"top": (0.5, 0.25), "left": (0.25, 0.74), "right": (0.75, 0.74)},
    ),
}
SHARED_SCALE = 0.88  # of the sizes, where groups share a picture
SHARE_OF_GROUPS = (0.4, 0.45, 0.15)  # scenes with one, two and three groups
# The colours each thing comes in: few enough that a small model learns things and colours apart from few pictures.
USUAL_COLOURS: dict[str, tuple[str, ...]] = {
    "apple": ("red", "green", "yellow"),
    "ball": ("red", "orange", "blue", "purple"),
    "balloon": ("red", "blue", "pink", "yellow", "green"),
    "bell": ("yellow", "orange", "grey"),
    "bird": ("blue", "brown", "black", "yellow"),
    "boat": ("brown", "red", "blue", "white"),
    "book": ("red", "green", "purple", "brown"),
    "box": ("brown", "orange", "pink", "grey"),
    "butterfly": ("purple", "orange", "blue", "pink"),
    "cactus": ("green", "blue", "pink"),
    "car": ("red", "blue", "black", "green", "grey"),
    "cat": ("black", "white", "grey", "orange", "brown"),
    "chair": ("brown", "white", "green", "purple"),
    "cloud": ("white", "grey", "pink"),
    "cup": ("white", "blue", "green", "pink", "black"),
    "fish": ("orange", "blue", "pink", "grey"),
    "flower": ("red", "pink", "purple", "white", "yellow"),
    "hat": ("black", "brown", "purple", "red"),
    "heart": ("red", "pink", "purple"),
    "house": ("red", "brown", "blue", "yellow"),
    "key": ("yellow", "grey", "black"),
    "kite": ("red", "green", "purple", "orange", "yellow"),
    "lamp": ("white", "orange", "green", "blue"),
    "leaf": ("green", "orange", "red", "brown"),
    "moon": ("yellow", "white", "orange"),
    "mushroom": ("red", "brown", "white", "orange"),
    "rocket": ("red", "white", "grey", "blue"),
    "star": ("yellow", "white", "blue", "green"),
    "sun": ("yellow", "orange", "red"),
    "tree": ("green", "orange", "pink"),
    "umbrella": ("black", "red", "blue", "purple", "pink"),
}
HIGH = frozenset(
    {"balloon", "bird", "butterfly", "cloud", "kite", "moon", "rocket", "star", "sun"}
)  # seldom below others

CONCEPTS_BY_KIND: dict[str, tuple[str, ...]] = {
    "object": tuple(THINGS),
    "colour": tuple(COLOURS),
    "size": tuple(SIZES),
    "count": COUNTS,
    "position": (*PLACES, *RELATIONS),
    "setting": tuple(BACKDROPS),
}
CONCEPTS: tuple[str, ...] = tuple(concept for kind in CONCEPTS_BY_KIND.values() for concept in kind)


@dataclass(frozen=True)
class Group:
    """Alike things side by side: "two small red balls on the left".

    Attributes:
        thing, colour, size, place: names of concepts.
        count: 1 to 5.
        centre: of the group, as shares of the picture's side.
    """

    thing: str
    colour: str
    size: str
    count: int
    place: str
    centre: tuple[float, float]

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concepts of this group, in the order of `CONCEPTS_BY_KIND`."""
        return self.thing, self.colour, self.size, COUNTS[self.count - 1], self.place


@dataclass(frozen=True)
class Scene:
    """What is to be drawn and told."""

    setting: str
    groups: tuple[Group, ...]

    @property
    def relation(self) -> str:
        """How the first group stands to the second: a word of `RELATIONS`, "" for a single group."""
        if len(self.groups) < 2:
            return ""
        first, second = (group.centre[1] for group in self.groups[:2])
        return "beside" if first == second else "above" if first < second else "below"

    @property
    def concepts(self) -> tuple[str, ...]:
        """All concepts in the picture, each once."""
        named = [concept for group in self.groups for concept in group.concepts]
        return tuple(dict.fromkeys([*named, *([self.relation] if self.relation else []), self.setting]))


def draw_lots(rng: np.random.Generator) -> Scene:
    """A scene at random: things and colours differ between its groups, sizes fit their places."""
    number = int(rng.choice(len(SHARE_OF_GROUPS), p=SHARE_OF_GROUPS)) + 1
    places = ARRANGEMENTS[number][int(rng.integers(len(ARRANGEMENTS[number])))]
    things = [str(thing) for thing in rng.choice(list(THINGS), number, replace=False)]
    if "top" in places:
        things.sort(key=lambda thing: thing not in HIGH)
    room = (ROOM_ALONE, ROOM_SHARED, ROOM_OF_THREE)[number - 1]
    groups: list[Group] = []
    for thing, (place, centre) in zip(things, places.items(), strict=True):
        taken = {group.colour for group in groups}
        colours = [colour for colour in USUAL_COLOURS[thing] if colour not in taken]
        size = str(rng.choice(list(SIZES)))
        # Squared, because single things are what pictures mostly show.
        count = 1 + int(room[size] * rng.random() ** 2)
        groups.append(Group(thing, str(rng.choice(colours)), size, count, place, centre))
    return Scene(str(rng.choice(list(BACKDROPS))), tuple(groups[position] for position in rng.permutation(number)))
