"""How building a shard grows with its documents: seconds, core seconds, peak memory and bytes a document.

    python benchmarks/index_build.py --json benchmarks/results/index-build.json

Each size is built in a process of its own from a Parquet file of synthetic lexicon vectors (kept in `work`), after a
tiny build that compiles the kernels.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import tyro
from child_measurement import peak_growth
from retrieval_engines import BuildSeconds, circumstances, timed
from retrieval_workload import SETTINGS, VOCABULARY_TERMS, synthetic, write_vectors

from lexlip.index import BuildSettings, ShardEntry, build_shard

CHILD = "--build-one"
WARM_UP_DOCUMENTS = 500


@dataclass(frozen=True)
class Benchmark:
    """What to build.

    Attributes:
        documents: sizes of the shards.
        setting: "full" for about 64 terms a document, "16-4" for the heaviest 16.
        build: build settings.
        work: where vectors are kept for the next run.
        json: where to write the result.
    """

    documents: tuple[int, ...] = (100_000, 300_000, 1_000_000, 3_000_000)
    setting: str = "full"
    build: BuildSettings = field(default_factory=BuildSettings)
    work: Path = Path("out/benchmark")
    json: Path | None = None


def vector_file(work: Path, documents: int, setting: str) -> Path:
    """The vectors of so many documents, drawn unless they were before."""
    file = work / f"synthetic-{documents}-{setting}" / "documents.parquet"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".tmp")
        write_vectors(synthetic(documents, 1)[0].cut(SETTINGS[setting][0]), fresh)
        fresh.replace(file)
    return file


def build_one(small: Path, large: Path, settings: BuildSettings) -> dict[str, float]:
    """Builds the small file to warm up, then the large one in earnest."""
    with tempfile.TemporaryDirectory(dir=large.parent, prefix=".build-") as folder:
        build_shard([small], folder, 0, settings, vocabulary_terms=VOCABULARY_TERMS)
        entries: list[ShardEntry] = []
        seconds: list[BuildSeconds] = []

        def build() -> None:
            entries.append(build_shard([large], folder, 1, settings, vocabulary_terms=VOCABULARY_TERMS))

        peak = peak_growth(lambda: seconds.append(timed(build)), "cpu")
    entry, taken = entries[0], seconds[0]
    size = entry.postings.bytes
    return {
        "documents": entry.documents,
        "wall_s": taken.wall,
        "core_s": taken.cores,
        "peak_bytes": peak,
        "bytes_per_doc": size / entry.documents,
    }


def main(benchmark: Benchmark) -> None:
    """Builds every size and prints how cost grows."""
    small = vector_file(benchmark.work, WARM_UP_DOCUMENTS, benchmark.setting)
    rows = []
    print(f"{'documents':>10s} {'wall s':>8s} {'core s':>8s} {'us/doc':>8s} {'peak MB':>8s} {'bytes/doc':>9s}")
    for documents in benchmark.documents:
        large = vector_file(benchmark.work, documents, benchmark.setting)
        task = json.dumps([str(small), str(large), asdict(benchmark.build)])
        finished = subprocess.run(
            [sys.executable, __file__, CHILD, task], stdout=subprocess.PIPE, text=True, check=True
        )
        row = json.loads(finished.stdout.splitlines()[-1])
        rows.append(row)
        print(
            f"{row['documents']:10d} {row['wall_s']:8.1f} {row['core_s']:8.1f} "
            f"{1e6 * row['wall_s'] / row['documents']:8.1f} {row['peak_bytes'] / 1e6:8.0f} {row['bytes_per_doc']:9.1f}",
            flush=True,
        )
    if benchmark.json is not None:
        benchmark.json.parent.mkdir(parents=True, exist_ok=True)
        result = {
            "builds": rows,
            "setting": benchmark.setting,
            "build": asdict(benchmark.build),
        } | circumstances()
        benchmark.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        small_file, large_file, build_settings = json.loads(sys.argv[2])
        print(json.dumps(build_one(Path(small_file), Path(large_file), BuildSettings(**build_settings))))
    else:
        main(tyro.cli(Benchmark))
