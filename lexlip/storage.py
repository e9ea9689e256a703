"""Locations: a local path, or a URL of an object store or another filesystem. The scheme decides.

A `RemotePath` has what the rest of LexLIP asks of a `Path`, so that a folder of vectors or an index is one or the
other. S3, Google Cloud Storage and HDFS are reached through pyarrow, which brings its own clients; every other scheme
through fsspec. Credentials, region and endpoint come from the environment, as those clients document it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from lexlip.errors import LexLIPError, StorageError

if TYPE_CHECKING:
    import fsspec  # where it is used, it is imported late: a local index opens without it

ARROW_SCHEMES = ("s3", "gs", "gcs", "hdfs", "viewfs")
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # as AWS names them; pyarrow reads neither itself
SILENT_SECONDS = 30.0  # before a store is given up; pyarrow's own 1 and 3 are short for one that is busy
COPY_BYTES = 8 * 2**20  # a part of a multipart upload

_ABSENT = ("NO_SUCH_BUCKET", "NO_SUCH_KEY", "RESOURCE_NOT_FOUND", "does not exist", "not found")
_REFUSED = ("ACCESS_DENIED", "HTTP status code: 403", "INVALID_ACCESS_KEY", "SIGNATURE", "TOKEN")


@dataclass(frozen=True)
class RemotePath:
    """A file or folder behind a URL. Every method raises `StorageError` when the filesystem does not do as asked.

    Attributes:
        url: with its scheme, without a slash at the end.
    """

    url: str

    def __str__(self) -> str:
        """The URL."""
        return self.url

    def __truediv__(self, name: str) -> "RemotePath":
        """A file or folder inside."""
        return RemotePath(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return PurePosixPath(self.url).name

    def absolute(self) -> "RemotePath":
        """Itself: a URL is the same everywhere."""
        return self

    def is_file(self) -> bool:
        """Whether there is such a file."""
        return self._details().get("type") == "file"

    def size(self) -> int | None:
        """Its bytes; None when there is no such file."""
        return self._details().get("size")

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """The files of the folder whose names match."""
        with reaching(self):
            filesystem, path = open_filesystem(self.url)
            found = filesystem.ls(path, detail=False) if filesystem.isdir(path) else []
        names = [PurePosixPath(str(file)).name for file in found]
        return iter([self / name for name in names if PurePosixPath(name).match(pattern)])

    def open(self) -> IO[bytes]:
        """The file, for reading; reads go to the filesystem, so they belong inside of `reaching` too."""
        with reaching(self):
            filesystem, path = open_filesystem(self.url)
            return filesystem.open(path, "rb")

    def read_bytes(self) -> bytes:
        """The whole content."""
        with reaching(self):
            filesystem, path = open_filesystem(self.url)
            return filesystem.cat_file(path)

    def read_text(self, encoding: str) -> str:
        """The whole content as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Writes or replaces the file; object stores do this in one step."""
        with reaching(self):
            filesystem, path = open_filesystem(self.url)
            filesystem.pipe_file(path, content)

    def upload(self, file: Path) -> None:
        """Writes or replaces the file with a local one's content."""
        with reaching(self):
            filesystem, path = open_filesystem(self.url)
            with file.open("rb") as source, filesystem.open(path, "wb") as target:
                shutil.copyfileobj(source, target, COPY_BYTES)

    def download(self, file: Path) -> None:
        """Copies the content into a local file, which is not whole before this returns."""
        with reaching(self), self.open() as source, file.open("wb") as target:
            shutil.copyfileobj(source, target, COPY_BYTES)

    def _details(self) -> dict:
        """What the filesystem says about it; nothing when it is not there."""
        with reaching(self):
            filesystem, path = open_filesystem(self.url)
            filesystem.invalidate_cache()  # some remember listings, and others write there
            try:
                return filesystem.info(path)
            except FileNotFoundError:
                return {}


Location = Path | RemotePath


def locate(where: str | Location) -> Location:
    """A local path for a path or `file://` URL, a remote one for any other URL."""
    if isinstance(where, RemotePath):
        return where
    text = str(where)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(where)
    return Path(rest) if scheme == "file" else RemotePath(text.rstrip("/"))


def open_filesystem(url: str) -> tuple["fsspec.AbstractFileSystem", str]:
    """The filesystem of a path or URL, and the path inside.

    Raises:
        ImportError: the scheme needs a package that is not installed.
        StorageError: there is no such scheme.
    """
    import fsspec

    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ARROW_SCHEMES:
        try:
            return fsspec.core.url_to_fs(url)
        except ValueError as error:
            raise StorageError(f"{url}: {error}. Give a path, or a URL that fsspec knows.") from error
    host = rest.partition("/")[0]
    endpoint = next((os.environ[name] for name in ENDPOINT_VARIABLES if os.environ.get(name)), "")
    path = rest.rstrip("/") if scheme in ("s3", "gs", "gcs") else "/" + rest.partition("/")[2].rstrip("/")
    return _arrow_filesystem(scheme, host, endpoint), path


@lru_cache
def _arrow_filesystem(scheme: str, host: str, endpoint: str) -> "fsspec.AbstractFileSystem":
    """Args: `host` is the bucket of an object store, whose region pyarrow looks up unless an endpoint is given."""
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow import fs

    if scheme == "s3":
        server = urlsplit(endpoint)
        place = {"endpoint_override": server.netloc, "scheme": server.scheme} if endpoint else {}
        region = None if endpoint else fs.resolve_s3_region(host)
        return ArrowFSWrapper(
            fs.S3FileSystem(region=region, request_timeout=SILENT_SECONDS, connect_timeout=SILENT_SECONDS, **place)
        )
    return ArrowFSWrapper(fs.FileSystem.from_uri(f"{scheme}://{host}/")[0])


@contextmanager
def reaching(where: str | Location) -> Iterator[None]:
    """Makes one `StorageError` with a remedy of whatever a remote filesystem raises; does nothing for a local path.

    Clients of filesystems raise `OSError` or classes of their own. A built-in exception that is neither an `OSError`
    nor about a missing package or feature is a defect, and passes.
    """
    try:
        yield
    except LexLIPError:
        raise
    except Exception as error:
        ours = not isinstance(error, OSError | ImportError | NotImplementedError) and _is_builtin(type(error))
        if ours or isinstance(locate(where), Path):
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise StorageError(f"{where}: {said}. {_remedy(error, said)}") from error


def _is_builtin(kind: type) -> bool:
    return kind.__module__ == "builtins"


def _remedy(error: Exception, said: str) -> str:
    if isinstance(error, ImportError | NotImplementedError):
        return "Install the package for this kind of URL, or use another."
    if isinstance(error, FileNotFoundError) or any(sign in said for sign in _ABSENT):
        return "Check the bucket and the path of the URL."
    if isinstance(error, PermissionError) or any(sign in said for sign in _REFUSED):
        return (
            "Give credentials that may do this in the environment (S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "AWS_PROFILE), on every node."
        )
    return f"Check the network and, for a store of your own, {ENDPOINT_VARIABLES[-1]}; then try again."


@contextmanager
def whole_file(location: Location) -> Iterator[Path]:
    """A local path to write to; what is there appears at the location when the block ends without an error."""
    if isinstance(location, RemotePath):
        with tempfile.TemporaryDirectory(prefix="lexlip-") as folder:
            yield Path(folder) / location.name
            location.upload(Path(folder) / location.name)
        return
    location.parent.mkdir(parents=True, exist_ok=True)
    temporary = location.with_name(f"{location.name}.tmp-{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # or a power failure could leave the name without the content
        temporary.replace(location)
    finally:
        temporary.unlink(missing_ok=True)


def place(file: Path, location: Location) -> None:
    """Copies a local file to a location, where it appears whole."""
    if isinstance(location, RemotePath):
        location.upload(file)
    else:
        with whole_file(location) as temporary:
            shutil.copyfile(file, temporary)


def size_of(location: Location) -> int | None:
    """The bytes of a file; None when there is no such file."""
    if isinstance(location, RemotePath):
        return location.size()
    return location.stat().st_size if location.is_file() else None


def arrow_source(location: Location) -> str | IO[bytes]:
    """What pyarrow reads a file from: the name of a local one, which it opens itself, or an open remote one."""
    return location.open() if isinstance(location, RemotePath) else str(location)
