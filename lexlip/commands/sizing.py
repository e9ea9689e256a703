"""`lexlip size`: from a number of pictures to bytes, shards and nodes, by measured figures, beside dense CLIP."""

import math
from dataclasses import dataclass

from lexlip.errors import DataError
from lexlip.index.layout import LARGEST_DOCUMENTS
from lexlip.index.settings import LARGEST_IMPACT_BITS


@dataclass(frozen=True)
class MeasuredLayout:
    """Bytes of posting lists and id map, measured on a million documents.

    Attributes:
        impact_bits: of a quantised weight.
        row_share: the layout, see `BuildSettings`.
        terms: mean terms of a document.
        bytes_per_document: stored fields not included.
        source: where the figure comes from.
    """

    impact_bits: int
    row_share: float
    terms: float
    bytes_per_document: float
    source: str

    @property
    def bytes_per_posting(self) -> float:
        """What a term of a document costs."""
        return self.bytes_per_document / self.terms


FULL_MEASUREMENT = "benchmarks/results/retrieval-synthetic-1m-full.json"
SHORT_MEASUREMENT = "benchmarks/results/retrieval-synthetic-1m-16-4.json"
SMALL_FULL_MEASUREMENT = "benchmarks/results/retrieval-synthetic-1m-full-5bits.json"
SMALL_SHORT_MEASUREMENT = "benchmarks/results/retrieval-synthetic-1m-16-4-5bits.json"
MEASURED = (
    MeasuredLayout(8, 0.1, 63.984, 166.900, FULL_MEASUREMENT),
    MeasuredLayout(8, 0.1, 15.996, 40.830, SHORT_MEASUREMENT),
    MeasuredLayout(5, 0.2, 63.984, 134.274, SMALL_FULL_MEASUREMENT),
    MeasuredLayout(5, 0.2, 15.996, 33.562, SMALL_SHORT_MEASUREMENT),
)
MEASURED_BITS = (5, 8)
IDENTIFIER_BYTES = 12  # hash of an id and its position, to find a document by id
DENSE_BYTES = 512 * 4  # a vector of CLIP, 512 float32
USABLE_MEMORY = 0.7  # of a node; the rest is for the system, Ray and the replicas' own memory
GIGABYTE = 1e9


@dataclass(frozen=True)
class Sizes:
    """What an index takes.

    Attributes:
        postings: bytes of posting lists and id maps, which have to be in memory to be fast.
        identifiers: bytes to find documents by id.
        stored: bytes of stored fields, on disk.
        shards: how many.
        nodes: that hold all replicas of the postings in memory.
        dense: bytes of CLIP's vectors for the same pictures.
        dense_nodes: that hold as many replicas of those.
    """

    postings: float
    identifiers: float
    stored: float
    shards: int
    nodes: int
    dense: float
    dense_nodes: int


@dataclass(frozen=True)
class Size:
    """Size an index: bytes, shards and nodes for a number of pictures, next to dense CLIP (512 float32).

    Attributes:
        images: how many pictures, such as 1e9.
        terms: terms kept of each.
        bits: of a quantised weight, 5 to 8. 5 and 8 are measured, 6 and 7 lie on the line between them.
        stored_bytes: stored fields of a picture: about 200 for id and captions, 8,000 with a thumbnail.
        shard_images: most pictures in a shard.
        replicas: copies of the index in memory.
        node_memory_gb: memory of a node.
    """

    images: float
    terms: float = 32
    bits: int = 8
    stored_bytes: float = 200
    shard_images: float = 4e6
    replicas: int = 2
    node_memory_gb: float = 64

    def run(self) -> int:
        """Prints the figures and where they come from."""
        sizes = self.sizes()
        each, times = sizes.postings / self.images, sizes.dense / sizes.postings
        print(f"{self.images:,.0f} images, {self.terms:g} terms each, {self.bits} bits a weight")
        print(f"posting lists {in_bytes(sizes.postings)}  {each:,.1f} bytes an image, to be in memory")
        print(f"dense CLIP    {in_bytes(sizes.dense)}  {DENSE_BYTES:,} bytes an image, {times:.0f} times as much")
        print(f"ids           {in_bytes(sizes.identifiers)}  {IDENTIFIER_BYTES} bytes an image")
        print(f"stored fields {in_bytes(sizes.stored)}  {self.stored_bytes:g} bytes an image, on disk")
        print(f"shards        {sizes.shards:10,}  of at most {self.shard_images:,.0f} images")
        print(f"nodes         {sizes.nodes:10,}  of {self.node_memory_gb:g} GB for {self.replicas} replica(s)")
        print(f"dense nodes   {sizes.dense_nodes:10,}  likewise")
        for measured in MEASURED:
            print(
                f"measured: {measured.bytes_per_posting:.2f} bytes a posting at {measured.impact_bits} bits and "
                f"{measured.terms:.0f} terms ({measured.source})"
            )
        return 0

    def sizes(self) -> Sizes:
        """The figures.

        Raises:
            DataError: a number that cannot be.
        """
        if not MEASURED_BITS[0] <= self.bits <= LARGEST_IMPACT_BITS:
            raise DataError(f"--bits {self.bits}: measured are {MEASURED_BITS[0]} to {LARGEST_IMPACT_BITS}")
        if not 1 <= self.shard_images <= LARGEST_DOCUMENTS:
            raise DataError(f"--shard-images {self.shard_images:g}: a shard holds 1 to {LARGEST_DOCUMENTS:,} images")
        if min(self.images, self.terms, self.replicas, self.node_memory_gb) <= 0 or self.stored_bytes < 0:
            raise DataError("--images, --terms, --replicas and --node-memory-gb have to be above 0")
        postings = self.images * self.terms * bytes_per_posting(self.bits, self.terms)
        identifiers = self.images * IDENTIFIER_BYTES
        dense = self.images * DENSE_BYTES
        room = self.node_memory_gb * GIGABYTE * USABLE_MEMORY
        return Sizes(
            postings=postings,
            identifiers=identifiers,
            stored=self.images * self.stored_bytes,
            shards=math.ceil(self.images / self.shard_images),
            nodes=math.ceil(self.replicas * (postings + identifiers) / room),
            dense=dense,
            dense_nodes=math.ceil(self.replicas * dense / room),
        )


def bytes_per_posting(bits: int, terms: float) -> float:
    """Between the measured layouts: by bits on a line, of documents as long as these, or the nearest measured."""
    low, high = MEASURED_BITS
    share = (bits - low) / (high - low)
    return (1 - share) * _by_terms(low, terms) + share * _by_terms(high, terms)


def _by_terms(bits: int, terms: float) -> float:
    short, full = sorted((one for one in MEASURED if one.impact_bits == bits), key=lambda one: one.terms)
    share = min(max((terms - short.terms) / (full.terms - short.terms), 0.0), 1.0)
    return (1 - share) * short.bytes_per_posting + share * full.bytes_per_posting


def in_bytes(count: float) -> str:
    """A number of bytes for people, ten characters and more wide."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:8.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
