"""Compares LexLIP with dense CLIP on the same corpus: recall, time and memory at every setting, as JSON and as a page.

    python pipelines/compare_clip.py
    python pipelines/compare_clip.py --quick --out REPORT
    python pipelines/compare_clip.py --lexlip M --clip C --data PAIRS --photos MORE --images 1000000 --out REPORT

Without arguments it compares what the demo made. Interrupted, the same command goes on where it stopped: vectors,
corpus, indexes, answers and finished rounds of timing are kept in the work folder.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from lexlip.report.comparison_page import comparison_page
from lexlip.report.results import FLAT, LEXLIP, Comparison
from lexlip.report.verdicts import claims, comparison_record, where_behind
from pipelines.cluster_session import cluster_session, run_main
from pipelines.compared_sides import Rivals
from pipelines.comparison import compare
from pipelines.comparison_settings import CompareSettings, quick
from pipelines.default_paths import DEMO, require, require_lasting
from pipelines.evaluate import describe
from pipelines.vector_parts import write_json, write_text


@dataclass(frozen=True)
class CompareClip:
    """Compare LexLIP with dense CLIP.

    Attributes:
        lexlip: folder of the LexLIP model.
        clip: folder of the dense model: one of ours, or a CLIP checkpoint saved by transformers.
        data: pairs with captions: they ask and are asked for.
        photos: further photos, distractors when captions ask.
        texts: Parquet files of further captions, distractors when pictures ask.
        out: folder for comparison.json, comparison.html and runs/ with TREC files.
        vectors: folder for encoded vectors; OUT/vectors unless given.
        work: folder for corpus, indexes and answers, as large as all of them; OUT/work unless given.
        mirrored: both models read every picture mirrored too, or neither does; unless given, where either says so.
        quick: a small comparison in a few minutes; sets sizes, grid and rounds.
        settings: what is measured.
    """

    lexlip: Path = DEMO / "lexlip"
    clip: Path = DEMO / "clip"
    data: str = str(DEMO / "data" / "val")
    photos: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    out: Path = DEMO / "report"
    vectors: Path | None = None
    work: Path | None = None
    mirrored: bool | None = None
    quick: bool = False
    settings: Annotated[CompareSettings, tyro.conf.arg(name="")] = field(default_factory=CompareSettings)


def write_comparison(job: CompareClip) -> Comparison:
    """Measures and writes `comparison.json`, `comparison.html` and TREC files."""
    vectors, work = job.vectors or job.out / "vectors", job.work or job.out / "work"
    rivals = Rivals(job.lexlip, job.clip, job.data, job.photos, job.texts, vectors, work, job.mirrored)
    settings = quick(job.settings) if job.quick else job.settings
    comparison = compare(rivals, settings, job.out / "runs")
    write_json(job.out / "comparison.json", comparison_record(comparison))
    write_text(job.out / "comparison.html", comparison_page(comparison))
    return comparison


def describe_comparison(comparison: Comparison) -> str:
    """The result as text."""
    lines = [describe(name, evaluation) for name, evaluation in comparison.quality.items()]
    lines.append(
        f"{'system':60} {'R@1':>6} {'R@10':>6} {'p50 us':>10} {'p99 us':>10} {'queries/s':>10} {'bytes/image':>12}"
    )
    for system in comparison.systems:
        latency = system.latency
        lines.append(
            f"{system.title:60} {system.recall.r1:6.1f} {system.recall.r10:6.1f} {latency.p50_us:10.1f} "
            f"{latency.p99_us:10.1f} {latency.qps:10,.0f} {system.bytes_per_document:12,.0f}"
        )
    if comparison.lexical is not None:
        found = comparison.lexical
        lines.append(
            f"{f'BM25 over the captions of {found.documents:,} pictures':60} {found.recall.r1:6.1f} "
            f"{found.recall.r10:6.1f} {found.latency.p50_us:10.1f} {found.latency.p99_us:10.1f} "
            f"{found.latency.qps:10,.0f}"
        )
    lines += [f"left out: {name}: {reason}" for name, reason in (comparison.left_out or {}).items()]
    lines += [f"{'yes' if claim.holds else ' no'}  {claim.text}: {claim.detail}" for claim in claims(comparison)]
    behind = where_behind(comparison)
    lines.append(f"LexLIP is behind in {len(behind)} respect(s); the page names them")
    main, flat = comparison.main(LEXLIP), comparison.main(FLAT)
    lines.append(
        f"{main.title}, beside {flat.title}: {comparison.speed_ratio:.2f}x the speed one query at a time, "
        f"{comparison.throughput_ratio:.2f}x in batches, {comparison.memory_ratio:.2f}x smaller"
    )
    lines += [f"{name}: {value}" for name, value in comparison.machine.items()]
    return "\n".join(lines)


def main() -> None:
    """Runs the command line."""
    job = tyro.cli(CompareClip)
    require(job.lexlip, job.clip, job.data)
    require_lasting(out=job.out, vectors=job.vectors, work=job.work)
    with cluster_session():
        comparison = write_comparison(job)
    print(describe_comparison(comparison))
    print(f"compare: written to {job.out / 'comparison.json'} and {job.out / 'comparison.html'}")


if __name__ == "__main__":
    run_main(main)
