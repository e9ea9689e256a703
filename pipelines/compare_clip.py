"""Compares LexLIP with dense CLIP on the same corpus: recall, time and memory, as JSON and as a page.

    python pipelines/compare_clip.py
    python pipelines/compare_clip.py --lexlip M --clip C --index I --vectors V --data PAIRS --out REPORT

Without arguments it compares what the demo made.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from lexlip.report.comparison_page import comparison_page
from lexlip.report.results import Comparison
from pipelines.cluster_session import cluster_session, run_main
from pipelines.comparison import CompareSettings, Rivals, compare
from pipelines.default_paths import DEMO, require
from pipelines.evaluate import describe
from pipelines.vector_parts import write_json, write_text


@dataclass(frozen=True)
class CompareClip:
    """Compare LexLIP with dense CLIP.

    Attributes:
        lexlip: folder of the LexLIP model.
        clip: folder of the dense CLIP model.
        index: LexLIP's index of the corpus, made by pipelines/encode.py.
        vectors: the vectors that the index was built from.
        data: the corpus, with captions: a caption's right answer is its image.
        out: folder for comparison.json, comparison.html and the other vectors.
        settings: what is measured.
    """

    lexlip: Path = DEMO / "lexlip"
    clip: Path = DEMO / "clip"
    index: Path = DEMO / "index"
    vectors: Path = DEMO / "vectors"
    data: str = str(DEMO / "data" / "val")
    out: Path = DEMO / "report"
    settings: Annotated[CompareSettings, tyro.conf.arg(name="")] = field(default_factory=CompareSettings)


def write_comparison(job: CompareClip) -> Comparison:
    """Measures and writes `comparison.json` and `comparison.html`."""
    rivals = Rivals(job.lexlip, job.clip, job.index, job.vectors, job.data, job.out / "vectors")
    comparison = compare(rivals, job.settings)
    write_json(job.out / "comparison.json", comparison.to_json())
    write_text(job.out / "comparison.html", comparison_page(comparison))
    return comparison


def describe_comparison(comparison: Comparison) -> str:
    """The result as text."""
    lines = [describe(name, evaluation) for name, evaluation in comparison.quality.items()]
    lines.append(
        f"{'system':38} {'R@1':>6} {'R@10':>6} {'p50 us':>9} {'p99 us':>9} {'queries/s':>10} {'bytes/image':>12}"
    )
    for system in comparison.systems:
        latency = system.latency
        lines.append(
            f"{system.title:38} {system.recall.r1:6.1f} {system.recall.r10:6.1f} {latency.p50_us:9.1f} "
            f"{latency.p99_us:9.1f} {latency.qps:10,.0f} {system.bytes_per_image:12,.0f}"
        )
    lines.append(
        f"LexLIP beside FAISS flat: {comparison.speed_ratio:.2f}x the speed one query at a time, "
        f"{comparison.throughput_ratio:.2f}x in batches, {comparison.memory_ratio:.2f}x smaller"
    )
    lines += [f"{name}: {value}" for name, value in comparison.machine.items()]
    return "\n".join(lines)


def main() -> None:
    """Runs the command line."""
    job = tyro.cli(CompareClip)
    require(job.lexlip, job.clip, job.index, job.vectors, job.data)
    with cluster_session():
        comparison = write_comparison(job)
    print(describe_comparison(comparison))
    print(f"compare: written to {job.out / 'comparison.json'} and {job.out / 'comparison.html'}")


if __name__ == "__main__":
    run_main(main)
