"""Measurements in a process of their own, so that neither memory nor caches of one arrangement help or hurt another.

Memory on a CPU: the process warms up at a tiny size, then 5 is written to `/proc/self/clear_refs`, which sets the peak
of the resident set back to the present; after one forward and backward pass the growth is VmHWM less the VmRSS before.
On a GPU it is `torch.cuda.max_memory_allocated` after a reset, less what was allocated before. Inputs and weights are
there before and do not count; whatever the pass makes does.
"""

import gc
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

CHILD = "--child"
PEAK_TO_PRESENT = "5"  # what /proc/self/clear_refs takes to reset VmHWM; see proc(5)
OUT_OF_MEMORY_STATUS = 75


def device_name(device: str) -> str:
    """The graphics card, or the processor and the threads in use."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")
    return f"{processor}, {torch.get_num_threads()} thread(s)"


def memory_at_hand(device: str) -> int:
    """Bytes that a measurement may take: what is available now, less a fifth for whatever else runs."""
    if device == "cuda":
        free, _ = torch.cuda.mem_get_info()
        return int(0.95 * free)
    lines = Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    return int(0.8 * available * 1024)


def peak_growth(work: Callable[[], object], device: str) -> int:
    """Bytes by which memory grows at most during one call of `work`."""
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text(PEAK_TO_PRESENT)
    before = _status("VmRSS")
    work()
    return max(0, _status("VmHWM") - before)


def interleaved_seconds(works: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Median seconds of each piece of work over rounds that take all in turn; one round of warming up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    names = list(works)
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            gc.collect()
            began = _now(device)
            works[name]()
            if turn:
                times[name].append(_now(device) - began)
    return {name: median(taken) for name, taken in times.items()}


def in_child(program: str, task: dict[str, Any], environment: dict[str, str] | None = None) -> dict[str, Any] | None:
    """Runs `program --child <task as JSON>`; the JSON of its last line, or None if memory did not suffice.

    Raises:
        RuntimeError: the child failed for another reason; its output is part of the message.
    """
    finished = subprocess.run(
        [sys.executable, program, CHILD, json.dumps(task)],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
    )
    if finished.returncode in (OUT_OF_MEMORY_STATUS, -signal.SIGKILL):  # the latter is the kernel's, short of memory
        return None
    if finished.returncode:
        raise RuntimeError(f"{task}: status {finished.returncode}\n{finished.stdout}{finished.stderr}")
    result: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return result


def child_task(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The task of a process that `in_child` started; None in any other."""
    if len(arguments) == 2 and arguments[0] == CHILD:
        task: dict[str, Any] = json.loads(arguments[1])
        return task
    return None


def answer(make: Callable[[], dict[str, Any]]) -> None:
    """In a child: prints the result as JSON, or ends with the status that stands for too little memory."""
    try:
        print(json.dumps(make()))
    except (torch.cuda.OutOfMemoryError, MemoryError):
        sys.exit(OUT_OF_MEMORY_STATUS)


def ratios(measured: dict[str, dict[str, float]]) -> dict[str, float | None]:
    """Ours over theirs; None where theirs did not fit or was not asked for."""
    result: dict[str, float | None] = {}
    for rival in ("reference", "published", *({"compiled"} & set(measured))):
        for quantity, name in (("bytes", "peak_memory"), ("seconds", "time")):
            ours, theirs = (measured.get(who, {}).get(quantity) for who in ("ours", rival))
            result[f"{name}_vs_{rival}"] = round(ours / theirs, 4) if ours is not None and theirs else None
    return result


def print_sizes(sizes: list[dict[str, Any]]) -> None:
    """One line for each batch and arrangement."""
    for size in sizes:
        for name, measured in size["measured"].items():
            seconds = measured.get("seconds")
            timed = f"{seconds * 1e3:10.1f} ms" if seconds is not None else "   not timed"
            print(f"batch {size['batch']:4d}  {name:10s} {measured['bytes'] / 2**20:10.1f} MiB  {timed}")
        print(f"            ratios {size['ratios']}", flush=True)


def report(program: str, device: str, about: dict[str, Any], sizes: list[dict[str, Any]], file: Path | None) -> None:
    """Prints the ratios of the largest size that all arrangements fit at, and writes the record if a file is given.

    Args:
        program: for messages.
        device: what was measured on.
        about: what the sizes have in common, for the record.
        sizes: results by batch, smallest first; an empty list ends the program with a message.
        file: where to write, or None.
    """
    if not sizes:
        sys.exit(f"{program}: not even the smallest batch fits into memory; give smaller --batches")
    complete = [size for size in sizes if None not in size["ratios"].values()] or sizes
    record = {
        "device": device_name(device),
        "precision": "bfloat16 autocast" if device == "cuda" else "float32",
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        **about,
        "sizes": sizes,
        "ratios": complete[-1]["ratios"],
        "command": " ".join(sys.argv),
    }
    print(f"at batch {complete[-1]['batch']}: {json.dumps(record['ratios'])}")
    if file is not None:
        write_result(file, record)
        print(f"{program}: written to {file}")


def write_result(file: Path, record: dict[str, Any]) -> None:
    """Writes the record under a temporary name and renames it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".tmp")
    fresh.write_text(json.dumps(record, indent=2) + "\n")
    fresh.replace(file)


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":")) * 1024
