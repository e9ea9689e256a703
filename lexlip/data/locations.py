"""What a location of pairs says: a path or fsspec URL, and options behind a "#".

photos/train-*.parquet
hf://datasets/someone/photos/data/*.parquet#image=photo&captions=title,description
coco/annotations/captions_val2017.json#images=../val2017
dataset_flickr30k.json#images=flickr30k-images&split=train+restval

Options that a kind of file has no use for are refused.
"""

import posixpath
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import fsspec

from lexlip.errors import DataError, StorageError
from lexlip.storage import open_filesystem

METADATA_FILES = ("metadata.jsonl", "captions.jsonl")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
OPTIONS = ("image", "captions", "image_id", "images", "split")
_OPTIONS_PATTERN = re.compile(r"^(?P<url>.*?)#(?P<options>\w+=[^#]*)$")


@dataclass(frozen=True)
class Location:
    """A location of pairs, taken apart.

    Attributes:
        url: path, glob or URL, without the options.
        image: column with the pictures; None looks for a usual name.
        captions: columns with captions; empty looks for a usual name.
        image_id: column with the ids; None looks for a usual name.
        images: folder of the image files that annotations name, relative to the annotations unless absolute or a URL.
        split: splits to read, of annotations that assign pictures to splits; empty reads all.
    """

    url: str
    image: str | None = None
    captions: tuple[str, ...] = ()
    image_id: str | None = None
    images: str | None = None
    split: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Location":
        """Takes a location apart; a "#" that no `name=` follows belongs to the path.

        Raises:
            DataError: an unknown option, one without a value, or one given twice.
        """
        match = _OPTIONS_PATTERN.match(text)
        if match is None:
            return cls(text)
        given: dict[str, str] = {}
        for option in match["options"].split("&"):
            name, _, value = option.partition("=")
            if name not in OPTIONS:
                raise DataError(f"{text}: unknown option {name!r}; there are: {', '.join(OPTIONS)}")
            if not value or name in given:
                raise DataError(f"{text}: give the option {name!r} once, with a value")
            given[name] = value
        return cls(
            match["url"],
            image=given.get("image"),
            captions=tuple(given["captions"].split(",")) if "captions" in given else (),
            image_id=given.get("image_id"),
            images=given.get("images"),
            split=tuple(given["split"].split("+")) if "split" in given else (),
        )

    def allow_options(self, allowed: tuple[str, ...], name: str) -> None:
        """Refuses options that have no meaning for the kind of file called `name`.

        Raises:
            DataError: naming the first of them.
        """
        for option in OPTIONS:
            if getattr(self, option) and option not in allowed:
                known = f"; there are: {', '.join(allowed)}" if allowed else ""
                raise DataError(f"{name}: the option {option!r} has no meaning for this kind of file{known}")

    def images_folder(self, filesystem: fsspec.AbstractFileSystem, annotations: str, guesses: tuple[str, ...]) -> str:
        """The folder of image files, as a URL.

        Args:
            filesystem: of the annotations.
            annotations: path of the annotations file.
            guesses: folders relative to it, of which the first that is there is taken when `images` is not given; the
                folder of the annotations is the last resort.
        """
        beside = PurePosixPath(annotations).parent
        if self.images is None:
            folders = [posixpath.normpath(beside / guess) for guess in guesses]
            found = next((folder for folder in folders if filesystem.isdir(folder)), str(beside))
            return filesystem.unstrip_protocol(found)
        if "://" in self.images or PurePosixPath(self.images).is_absolute():
            return self.images
        return filesystem.unstrip_protocol(posixpath.normpath(beside / self.images))


def find_files(location: Location) -> tuple[fsspec.AbstractFileSystem, list[str]]:
    """The filesystem, and the files (or folders of image files with captions beside them) to read, sorted by name.

    Of a folder the first of these that is there: `metadata.jsonl` or `captions.jsonl` in it; tar, Arrow or Parquet
    files at any depth; folders of image files. A Parquet file beside a folder of the same name is the record that
    img2dataset leaves of that folder, and no data. Names that begin with "." or "_" are left out.

    Raises:
        DataError: the location cannot be opened or holds nothing of the kind.
        StorageError: it is a URL, and its filesystem cannot be reached.
    """
    try:
        filesystem, path = open_filesystem(location.url)
    except (ImportError, StorageError) as error:
        raise DataError(f"{location.url}: cannot be opened ({error})") from error
    try:
        kind = filesystem.info(path)["type"]
    except (FileNotFoundError, NotADirectoryError):
        kind = "pattern"
    if kind == "directory":
        return filesystem, _in_folder(filesystem, path, location.url)
    if kind == "file":
        return filesystem, [path]
    files = [file for file in filesystem.glob(path) if filesystem.isfile(file)] if _is_glob(path) else []
    if not files:
        problem = "no file matches this pattern" if _is_glob(path) else "no such file or folder"
        raise DataError(f"{location.url}: {problem}")
    return filesystem, sorted(files)


def _in_folder(filesystem: fsspec.AbstractFileSystem, path: str, url: str) -> list[str]:
    for name in METADATA_FILES:
        if filesystem.isfile(f"{path}/{name}"):
            return [f"{path}/{name}"]
    files = sorted(file for file in filesystem.find(path) if _visible(file, path))
    picture_folders = {str(PurePosixPath(file).parent) for file in files if file.lower().endswith(IMAGE_SUFFIXES)}
    for suffix in (".tar", ".arrow", ".parquet"):
        found = [file for file in files if file.endswith(suffix)]
        if suffix == ".parquet":
            found = [file for file in found if file.removesuffix(suffix) not in picture_folders]
        if found:
            return found
    if not picture_folders:
        raise DataError(
            f"{url}: no .parquet, .arrow or .tar file, {' or '.join(METADATA_FILES)} in this folder, and no image "
            "files; annotations (.json, .tsv) are named by their file"
        )
    return sorted(picture_folders)


def _is_glob(path: str) -> bool:
    return any(character in path for character in "*?[")


def _visible(file: str, folder: str) -> bool:
    inner = file[len(folder) :].strip("/").split("/")
    return not any(part.startswith((".", "_")) for part in inner)
