"""Known data sets: where their files go, and how they are read. Nothing is downloaded; each is for you to get and to
use under its own terms.
"""

from dataclasses import dataclass
from pathlib import Path

from lexlip.errors import DataError


@dataclass(frozen=True)
class RecipeFile:
    """A file or folder that a recipe needs.

    Attributes:
        path: below the root, a glob or a name.
        what: what it is and where it comes from.
    """

    path: str
    what: str


@dataclass(frozen=True)
class Recipe:
    """How one data set is read.

    Attributes:
        location: as for `open_pairs`, below the root.
        own_splits: whether the data set says which picture is in which split.
        files: what has to be there.
        terms: who may use it for what, in a line.
    """

    location: str
    own_splits: bool
    files: tuple[RecipeFile, ...]
    terms: str

    def locate(self, root: Path) -> str:
        """The location under a root folder.

        Raises:
            DataError: a file is missing; the message lists all that are needed, and where to get them.
        """
        missing = [file for file in self.files if not any(root.glob(file.path))]
        if missing:
            needed = "; ".join(f"{root / file.path} ({file.what})" for file in missing)
            raise DataError(f"{root}: put there {needed}. {self.terms}")
        return f"{root}/{self.location}" if self.location else str(root)


KARPATHY = "from caption_datasets.zip, https://cs.stanford.edu/people/karpathy/deepimagesent/"
PHOTOS_OF_OTHERS = "The photos belong to the people who took them: for research, not to be passed on."
RECIPES = {
    "flickr8k": Recipe(
        "dataset_flickr8k.json#images=Flicker8k_Dataset",
        own_splits=True,
        files=(
            RecipeFile("dataset_flickr8k.json", KARPATHY),
            RecipeFile("Flicker8k_Dataset/*.jpg", "the 8,091 photos, Flickr8k_Dataset.zip"),
        ),
        terms=PHOTOS_OF_OTHERS,
    ),
    "flickr30k": Recipe(
        "dataset_flickr30k.json#images=flickr30k-images",
        own_splits=True,
        files=(
            RecipeFile("dataset_flickr30k.json", KARPATHY),
            RecipeFile("flickr30k-images/*.jpg", "the 31,783 photos, by the form at https://shannon.cs.illinois.edu"),
        ),
        terms=PHOTOS_OF_OTHERS,
    ),
    "coco": Recipe(
        "dataset_coco.json#images=.",
        own_splits=True,
        files=(
            RecipeFile("dataset_coco.json", KARPATHY),
            RecipeFile("train2014/*.jpg", "https://cocodataset.org/#download, 2014 Train images"),
            RecipeFile("val2014/*.jpg", "https://cocodataset.org/#download, 2014 Val images"),
        ),
        terms="Captions are CC BY 4.0; the photos are Flickr users', under the terms of Flickr.",
    ),
    "conceptual-captions": Recipe(
        "",
        own_splits=False,
        files=(
            RecipeFile(
                "*.tar",
                "made by `img2dataset --url_list Train_GCC-training.tsv --input_format tsv --url_col url --caption_col "
                "caption --output_format webdataset`; the list, of https://ai.google.com/research/ConceptualCaptions, "
                "needs a first line `caption<TAB>url`",
            ),
        ),
        terms="Google lets the captions be used freely; the pictures belong to the sites they are on.",
    ),
}
