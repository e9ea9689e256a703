"""The lexicon head, forward and backward: memory and time against the plain reference and the published arrangement.

    python benchmarks/lexicon_head.py --json benchmarks/results/lexicon-head-cpu.json
    python benchmarks/lexicon_head.py --batches 2 --tokens 17 --vocabulary 2000 --rounds 2      # a try

Runs on a GPU where there is one, in bfloat16 under autocast as training does; on a CPU in single precision. Every
batch takes one process per arrangement for memory and one for times, in rounds that take all arrangements in turn.
Arrangements that would not fit into memory are left out, and said so.
"""

import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import tyro
from child_measurement import (
    answer,
    child_task,
    device_name,
    in_child,
    interleaved_seconds,
    memory_at_hand,
    peak_growth,
    print_sizes,
    ratios,
    report,
)
from head_arrangements import ARRANGEMENTS, LARGE_TENSORS, Arrangement

from pipelines.memory_allocator import GLIBC_TUNABLES

SINGLE, HALF = 4, 2  # bytes


@dataclass(frozen=True)
class Benchmark:
    """What to measure; the defaults are ViT-B/16 at 224 pixels with bert-base-uncased's vocabulary.

    Attributes:
        batches: images a step.
        tokens, width, vocabulary: T, D and V.
        rounds: of timing.
        threads: of tensor operations on a CPU.
        json: where to write the result.
    """

    batches: tuple[int, ...] = (16, 32, 64, 128, 256)
    tokens: int = 197
    width: int = 768
    vocabulary: int = 30_522
    rounds: int = 5
    threads: int = 2
    json: Path | None = None


def main() -> None:
    """Measures all batches that fit and prints ratios, ours over theirs."""
    benchmark = tyro.cli(Benchmark, description=__doc__)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(benchmark.threads)
    print(f"{device_name(device)}; torch {torch.__version__}, Python {platform.python_version()}", flush=True)
    sizes = [size for batch in benchmark.batches if (size := measure(benchmark, batch, device)) is not None]
    about = {"shape": {"tokens": benchmark.tokens, "width": benchmark.width, "vocabulary": benchmark.vocabulary}}
    report("lexicon_head", device, about, sizes, benchmark.json)


def measure(benchmark: Benchmark, batch: int, device: str) -> dict[str, Any] | None:
    """Bytes and seconds of all arrangements that fit at one batch; None if none does."""
    fitting = [name for name in ARRANGEMENTS if _guessed_bytes(benchmark, batch, name, device) < memory_at_hand(device)]
    left_out = sorted(set(ARRANGEMENTS) - set(fitting))
    if left_out:
        print(f"batch {batch}: {', '.join(left_out)} left out, too large for the memory at hand", flush=True)
    task = {
        "batch": batch,
        "tokens": benchmark.tokens,
        "width": benchmark.width,
        "vocabulary": benchmark.vocabulary,
        "rounds": benchmark.rounds,
        "threads": benchmark.threads,
        "device": device,
    }
    measured: dict[str, dict[str, float]] = {}
    for name in fitting:
        grown = in_child(__file__, task | {"memory_of": name})
        if grown is not None:
            measured[name] = grown
    if not measured:
        return None
    # Times with the allocator of training workers: otherwise page faults would count against large tensors.
    timed = in_child(__file__, task | {"times_of": list(measured)}, {"GLIBC_TUNABLES": GLIBC_TUNABLES})
    for name, seconds in (timed or {}).items():
        measured[name]["seconds"] = seconds
    size = {"batch": batch, "measured": measured, "ratios": ratios(measured)}
    print_sizes([size])
    return size


def run_child(task: dict[str, Any]) -> dict[str, Any]:
    """One measurement, in a process of its own."""
    torch.set_num_threads(task["threads"])
    device = task["device"]
    if "memory_of" in task:
        arrangement = ARRANGEMENTS[task["memory_of"]]
        Pass(arrangement, task | {"batch": 1, "tokens": 2, "vocabulary": 64})()
        work = Pass(arrangement, task)
        return {"bytes": peak_growth(work, device)}
    works = {name: Pass(ARRANGEMENTS[name], task) for name in task["times_of"]}
    return interleaved_seconds(works, task["rounds"], device)


class Pass:
    """Forward and backward pass of one arrangement over fixed random inputs."""

    def __init__(self, arrangement: Arrangement, task: dict[str, Any]) -> None:
        generator = torch.Generator().manual_seed(0)
        self.arrangement, self.device = arrangement, task["device"]
        batch, tokens, width, vocabulary = (task[name] for name in ("batch", "tokens", "width", "vocabulary"))

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator).to(self.device)

        # Logits of unit variance around -2, as in a head that starts sparse.
        self.hidden_BTD = normal(batch, tokens, width).requires_grad_()
        self.projection_VD = (normal(vocabulary, width) / width**0.5).requires_grad_()
        self.bias_V = torch.full((vocabulary,), -2.0, device=self.device, requires_grad=True)
        self.weights_grad_BV, self.mixture_grad_BD = normal(batch, vocabulary), normal(batch, width)

    def __call__(self) -> None:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            weights_BV, mixture_BD = self.arrangement(self.hidden_BTD, self.projection_VD, self.bias_V)
            loss = (weights_BV * self.weights_grad_BV).sum() + (mixture_BD * self.mixture_grad_BD).sum()
        torch.autograd.grad(loss, (self.hidden_BTD, self.projection_VD, self.bias_V))


def _guessed_bytes(benchmark: Benchmark, batch: int, name: str, device: str) -> int:
    element = HALF if device == "cuda" else SINGLE
    logits = batch * benchmark.tokens * benchmark.vocabulary * element
    states = 4 * batch * benchmark.tokens * benchmark.width * SINGLE
    pooled = 12 * batch * benchmark.vocabulary * SINGLE
    return LARGE_TENSORS[name] * logits + states + pooled + 4 * benchmark.vocabulary * benchmark.width * SINGLE


if __name__ == "__main__":
    task = child_task(sys.argv[1:])
    if task is None:
        main()
    else:
        answer(lambda: run_child(task))
