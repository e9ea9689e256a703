"""A whole training step: peak memory and time against the plain head and against the published arrangement.

    python benchmarks/train_step.py --json benchmarks/results/train-step-cpu.json
    python benchmarks/train_step.py --settings.phase 2                       # momentum encoder and queues
    python benchmarks/train_step.py --arrangements ours compiled             # is torch.compile worth it here?
    python benchmarks/train_step.py --settings.image-size 64 --settings.text-layers 1 --batches 2 --rounds 1   # a try

A step is forward, backward, clipping and AdamW over towers, heads and decoder. Weights, optimiser state and queues are
there before a step and do not count as its memory; they are reported as `bytes_before`. Measured as in
`child_measurement.py`, on a GPU where there is one. Nothing here needs Ray.
"""

import platform
import sys
from dataclasses import asdict, dataclass, field
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
from step_arrangements import ARRANGEMENTS, StepSettings, make_batch, make_model

from pipelines.memory_allocator import GLIBC_TUNABLES

PATCH = 16  # pixels a side, for a guess at the tokens of an image
# Tensors [N, T, V] and [B, L, V] that exist at the same time, for a guess at what fits.
LARGE_TENSORS = {"ours": 0, "reference": 3, "published": 6, "compiled": 0}
TOWER_BYTES_A_TOKEN = 2_000  # of activations, for each unit of width: twelve layers in single precision
STATE_BYTES_A_WEIGHT = 16  # weight, gradient and two moments in single precision
BASE_WEIGHTS = 260_000_000  # ViT-B, BERT-base, two projections, decoder


@dataclass(frozen=True)
class Benchmark:
    """What to measure.

    Attributes:
        settings: model and phase.
        batches: images a step, each with one caption.
        rounds: of timing.
        arrangements: which of `step_arrangements`.
        threads: of tensor operations on a CPU.
        json: where to write the result.
    """

    settings: StepSettings = field(default_factory=StepSettings)
    arrangements: tuple[str, ...] = ("ours", "reference", "published")
    batches: tuple[int, ...] = (8, 16, 32, 64, 128)
    rounds: int = 3
    threads: int = 2
    json: Path | None = None


def main() -> None:
    """Measures all batches that fit and prints ratios, ours over theirs."""
    benchmark = tyro.cli(Benchmark, description=__doc__)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(benchmark.threads)
    print(f"{device_name(device)}; torch {torch.__version__}, Python {platform.python_version()}", flush=True)
    sizes = [size for batch in benchmark.batches if (size := measure(benchmark, batch, device)) is not None]
    about = {"settings": asdict(benchmark.settings)}
    report("train_step", device, about, sizes, benchmark.json)


def measure(benchmark: Benchmark, batch: int, device: str) -> dict[str, Any] | None:
    """Bytes and seconds of all arrangements that fit at one batch; None if none does.

    Times are taken in one process with a model for each arrangement; where these do not fit together, each is timed in
    a process of its own, one after the other, and `interleaved` is false.
    """
    guesses = {name: _guessed_bytes(benchmark.settings, batch, name, device) for name in benchmark.arrangements}
    fitting = [name for name, guess in guesses.items() if guess < memory_at_hand(device)]
    left_out = sorted(set(benchmark.arrangements) - set(fitting))
    if left_out:
        print(f"batch {batch}: {', '.join(left_out)} left out, too large for the memory at hand", flush=True)
    task = {
        "settings": asdict(benchmark.settings),
        "batch": batch,
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
    environment = {"GLIBC_TUNABLES": GLIBC_TUNABLES}
    resident = len(measured) * STATE_BYTES_A_WEIGHT * BASE_WEIGHTS
    together = resident + max(guesses[name] for name in measured) < memory_at_hand(device)
    groups = [list(measured)] if together else [[name] for name in measured]
    for names in groups:
        timed = in_child(__file__, task | {"times_of": names}, environment)
        for name, seconds in (timed or {}).items():
            measured[name]["seconds"] = seconds
    size = {"batch": batch, "interleaved": together, "measured": measured, "ratios": ratios(measured)}
    print_sizes([size])
    return size


def run_child(task: dict[str, Any]) -> dict[str, Any]:
    """One measurement, in a process of its own."""
    torch.set_num_threads(task["threads"])
    device, settings = task["device"], StepSettings(**task["settings"])
    if "memory_of" in task:
        step = Step(settings, task["batch"], task["memory_of"], device)
        step.warm_up()
        # A second model's worth of gradients is set to None by the step itself and made again: it counts.
        return {"bytes": peak_growth(step, device), "bytes_before": step.bytes_before()}
    steps = {name: Step(settings, task["batch"], name, device) for name in task["times_of"]}
    return interleaved_seconds(steps, task["rounds"], device)


class Step:
    """One training step of one arrangement over a fixed batch."""

    def __init__(self, settings: StepSettings, batch: int, name: str, device: str) -> None:
        self.model = make_model(settings).to(device)
        self.step = ARRANGEMENTS[name](settings, self.model, batch)
        self.small = make_batch(settings, 2, self.model)
        self.batch = make_batch(settings, batch, self.model)

    def __call__(self) -> None:
        self.step(self.batch)

    def warm_up(self) -> None:
        """A step of two images: loads libraries and makes the optimiser's state."""
        self.step(self.small)

    def bytes_before(self) -> int:
        """Weights, gradients and the optimiser's two moments in single precision."""
        return STATE_BYTES_A_WEIGHT * sum(parameter.numel() for parameter in self.model.parameters())


def _guessed_bytes(settings: StepSettings, batch: int, name: str, device: str) -> int:
    element = 2 if device == "cuda" else 4
    image_tokens = (settings.image_size // PATCH) ** 2 + 1
    tokens = batch * (image_tokens + 3 * settings.text_tokens)
    logits = LARGE_TENSORS[name] * tokens * settings.vocabulary * element
    towers = tokens * settings.text_width * TOWER_BYTES_A_TOKEN * element // 4
    queues = 4 * settings.vocabulary * settings.queue * 4 if settings.phase == 2 and name == "published" else 0
    weights = BASE_WEIGHTS * STATE_BYTES_A_WEIGHT * settings.text_width // 768
    return logits + towers + queues + weights


if __name__ == "__main__":
    task = child_task(sys.argv[1:])
    if task is None:
        main()
    else:
        answer(lambda: run_child(task))
