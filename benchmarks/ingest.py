"""From pictures to an index: encoding on Ray against a bare loop, memory against the corpus, seconds of indexing.

    python benchmarks/ingest.py --json benchmarks/results/ingest.json
    python benchmarks/ingest.py --images 512 --rounds 1 --index-documents 10000     # a try

The bare loop is PyTorch alone: a DataLoader reads and prepares the same units with the same code in one worker process,
the model encodes them in the same batches with as many threads as the actor on Ray, and nothing is written. Both encode
the smallest and the largest corpus in interleaved rounds. A whole job is from the call to its return, loading of the
model included, start of Ray not. What the larger corpus takes longer, by the images it has more, is the steady rate:
starting, loading, and units that are prepared meanwhile cost both corpora the same and cancel out.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import tyro
from child_measurement import answer, child_task, in_child, write_result
from index_build import WARM_UP_DOCUMENTS, build_one, vector_file
from tree_memory import peak_memory

from lexlip.data.images import ImageLimits
from lexlip.data.scenes import SceneSettings, make_scene, write_scenes
from lexlip.data.sources import open_pairs
from lexlip.index import BuildSettings
from lexlip.model.building import build_lexlip
from lexlip.model.saving import load_encoder
from lexlip.training import runs
from lexlip.vocabulary import Vocabulary
from pipelines.cluster_session import cluster_session
from pipelines.corpus_sides import ImageSide, PreparedUnit
from pipelines.encoding import ActorSettings, EncodeSettings, encode_corpus
from pipelines.measured_machine import describe_machine

CORPUS_SIZES = (1, 2, 4)  # times `images`: memory should not grow with them
SEED = 5
WORKER_NICENESS = 15  # what Ray adds to that of its workers; the bare loop gets as little priority
VOCABULARY_TERMS, VOCABULARY_SCENES = 2000, 400
MILLION = 1_000_000


@dataclass(frozen=True)
class Benchmark:
    """What to measure.

    Attributes:
        model: folder of a LexLIP model; None builds an untrained one with the demo's towers.
        images: drawn scenes of the smallest corpus.
        image_size: their side in pixels.
        part_rows: pictures of a unit of work.
        rounds: of both ways.
        index_documents: size of the shard that is timed.
        threads: of tensor operations, and CPUs that Ray may use.
        work: where pictures and vectors are kept for the next run.
        json: where to write the result.
    """

    model: Path | None = None
    images: int = 2048
    image_size: int = 256
    part_rows: int = 128
    rounds: int = 3
    index_documents: int = 100_000
    threads: int = len(os.sched_getaffinity(0))
    work: Path = Path("out/bench/ingest")
    json: Path | None = None


@dataclass(frozen=True)
class Speed:
    """Images a second in one round.

    Attributes:
        steady: the images that the largest corpus has more, by the seconds that it takes longer.
        whole_job: of the largest corpus, start to end.
    """

    steady: float
    whole_job: float

    @classmethod
    def of(cls, images: int, seconds: dict[int, float]) -> "Speed":
        """From the images of the smallest corpus and the seconds of whole jobs by corpus size."""
        small, large = CORPUS_SIZES[0], CORPUS_SIZES[-1]
        more = images * (large - small)
        return cls(more / (seconds[large] - seconds[small]), images * large / seconds[large])


def main() -> None:
    """Measures, prints ratios, and writes the record if a file is given."""
    job = tyro.cli(Benchmark, description=__doc__)
    machine = describe_machine(job.threads)
    print("; ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    model = job.model or make_model(job.work / "model")
    corpora = draw_corpora(job)
    speeds: dict[str, list[Speed]] = {"ray": [], "bare_loop": []}
    with cluster_session(cpus=job.threads):
        on_ray(model, corpora[CORPUS_SIZES[0]], job)  # the first run's growth would hold what Ray itself starts
        peaks = {size: on_ray(model, corpora[size], job)[1] for size in CORPUS_SIZES}
        ways: dict[str, Callable[[str], float]] = {
            "ray": lambda data: on_ray(model, data, job)[0],
            "bare_loop": lambda data: in_bare_loop(model, data, job),
        }
        for turn in range(job.rounds):
            for name in list(ways) if turn % 2 == 0 else list(ways)[::-1]:
                seconds = {size: ways[name](corpora[size]) for size in (CORPUS_SIZES[0], CORPUS_SIZES[-1])}
                speeds[name].append(Speed.of(job.images, seconds))
                print(f"round {turn + 1}: {name} {speeds[name][-1]}", flush=True)
    index_seconds = in_child(__file__, {"index": job.index_documents, "work": str(job.work)})
    report(job, machine, speeds, peaks, index_seconds)


def report(job: Benchmark, machine: dict, speeds: dict[str, list[Speed]], peaks: dict[int, int], built: Any) -> None:
    """Prints and writes what was measured."""
    rates = {
        name: {kind: round(median(getattr(speed, kind) for speed in found), 1) for kind in ("steady", "whole_job")}
        for name, found in speeds.items()
    }
    record = {
        "ratios": {
            "ray_over_bare_loop": round(rates["ray"]["steady"] / rates["bare_loop"]["steady"], 3),
            "ray_over_bare_loop_whole_job": round(rates["ray"]["whole_job"] / rates["bare_loop"]["whole_job"], 3),
            "peak_memory_largest_over_smallest_corpus": round(peaks[CORPUS_SIZES[-1]] / peaks[CORPUS_SIZES[0]], 3),
        },
        "images_per_second": rates,
        "rounds": {name: [asdict(speed) for speed in found] for name, found in speeds.items()},
        "peak_memory_bytes": {job.images * size: peak for size, peak in peaks.items()},
        "index_seconds_per_million": None
        if built is None
        else round(built["wall_s"] / built["documents"] * MILLION, 1),
        "index_build": built,
        "settings": {name: str(value) for name, value in asdict(job).items()},
        "machine": machine | {"load_average": os.getloadavg()},
        "command": " ".join(["python", *sys.argv]),
    }
    for name in ("ratios", "images_per_second", "peak_memory_bytes", "index_seconds_per_million"):
        print(f"{name}: {record[name]}")
    if job.json is not None:
        write_result(job.json, record)
        print(f"ingest: written to {job.json}")


def make_model(folder: Path) -> Path:
    """An untrained model with the demo's towers: a forward pass costs what a trained one's does."""
    if not (folder / "config.json").is_file():
        scenes = (make_scene(SEED, position, SceneSettings(image_size=16)) for position in range(VOCABULARY_SCENES))
        captions = [caption for scene in scenes for caption in scene.captions]
        torch.manual_seed(SEED)
        build_lexlip(runs.demo().model, Vocabulary.train(captions, VOCABULARY_TERMS)).save_pretrained(folder)
    return folder


def draw_corpora(job: Benchmark) -> dict[int, str]:
    """Locations of the corpora by size; each begins with the smaller ones."""
    corpora = {}
    settings = SceneSettings(image_size=job.image_size)
    for size in CORPUS_SIZES:
        folder = job.work / f"scenes-{job.image_size}-{job.images * size}"
        if not folder.is_dir():
            fresh = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
            write_scenes(fresh, job.images * size, SEED, settings=settings)
            fresh.replace(folder)
        corpora[size] = str(folder)
    return corpora


def on_ray(model: Path, data: str, job: Benchmark) -> tuple[float, int]:
    """Seconds of `pipelines/encode.py`'s own path, and the bytes by which it makes memory grow at most."""
    with tempfile.TemporaryDirectory(prefix="lexlip-ingest-") as folder:
        settings, actors = EncodeSettings(part_rows=job.part_rows), ActorSettings(threads=job.threads)
        began = time.perf_counter()
        with peak_memory() as memory:
            encode_corpus(model, data, Path(folder), settings, actors)
        seconds = time.perf_counter() - began
    return seconds, memory.growth


def in_bare_loop(model: Path, data: str, job: Benchmark) -> float:
    """Seconds of the bare loop, in a process of its own; the start of Python and its imports do not count."""
    task = {"model": str(model), "data": data, "part_rows": job.part_rows, "threads": job.threads}
    measured = in_child(__file__, task)
    if measured is None:
        raise RuntimeError("the bare loop ended without a result")
    return float(measured["seconds"])


@dataclass(frozen=True)
class UnitsOfCorpus(torch.utils.data.Dataset[PreparedUnit]):
    """The units of a corpus, prepared as the tasks on Ray prepare them."""

    units: tuple
    side: ImageSide

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, number: int) -> PreparedUnit:
        return self.side.prepare(self.units[number])


def bare_loop(task: dict[str, Any]) -> dict[str, float]:
    """Encodes a corpus with PyTorch alone."""
    os.nice(WORKER_NICENESS)
    began = time.perf_counter()
    torch.set_num_threads(task["threads"])
    encoder, settings = load_encoder(Path(task["model"])), EncodeSettings()
    units = open_pairs(task["data"], captions_required=False, unit_rows=task["part_rows"]).units
    side = ImageSide(encoder.preprocessing, ImageLimits(), settings.thumbnail_pixels)
    for prepared in torch.utils.data.DataLoader(UnitsOfCorpus(units, side), batch_size=None, num_workers=1):
        side.encode(encoder, prepared, top_terms=settings.top_terms)
    return {"seconds": time.perf_counter() - began}


def run_child(task: dict[str, Any]) -> dict[str, float]:
    """One measurement in a process of its own."""
    if "index" in task:
        small, large = (vector_file(Path(task["work"]), count, "full") for count in (WARM_UP_DOCUMENTS, task["index"]))
        return build_one(small, large, BuildSettings())
    return bare_loop(task)


if __name__ == "__main__":
    child = child_task(sys.argv[1:])
    if child is None:
        main()
    else:
        answer(lambda: run_child(child))
