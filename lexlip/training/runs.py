"""Named runs. Each is a function that returns one complete configuration; copy one to make your own.

`python pipelines/pretrain.py --run flickr8k-cpu --data ... --out ...` finds `flickr8k_cpu` of flickr8k_runs.py, and
`--run my_runs.py:my_run` a function in a file of yours.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from lexlip.errors import ModelError
from lexlip.training.demo_runs import demo, demo_clip
from lexlip.training.dense_twin import dense_twin
from lexlip.training.flickr8k_runs import (
    flickr8k_cpu,
    flickr8k_cpu_clip,
    flickr8k_cpu_clip_plain,
    flickr8k_cpu_dense_to_sparse,
    flickr8k_cpu_distilled,
)
from lexlip.training.gpu_runs import cc_gpu, coco_gpu, coco_gpu_fine_tuning
from lexlip.training.run import Run

NAMED_RUNS: dict[str, Callable[[], Run]] = {
    "demo": demo,
    "demo-clip": demo_clip,
    "flickr8k-cpu": flickr8k_cpu,
    "flickr8k-cpu-clip": flickr8k_cpu_clip,
    "flickr8k-cpu-clip-plain": flickr8k_cpu_clip_plain,
    "flickr8k-cpu-dense-to-sparse": flickr8k_cpu_dense_to_sparse,
    "flickr8k-cpu-distilled": flickr8k_cpu_distilled,
    "cc-gpu": cc_gpu,
    "coco-gpu": coco_gpu,
    "coco-gpu-fine-tuning": coco_gpu_fine_tuning,
    "coco-gpu-clip": lambda: dense_twin(coco_gpu(), "coco-gpu-clip"),
}


def find_run(name: str) -> Run:
    """A named run, or one from a file: "path/to/file.py:function".

    Raises:
        ModelError: there is no such run.
    """
    if name in NAMED_RUNS:
        return NAMED_RUNS[name]()
    path, _, function = name.partition(":")
    if not Path(path).is_file():
        raise ModelError(f"no run {name!r}: known are {', '.join(NAMED_RUNS)}, or give path/to/file.py:function")
    spec = importlib.util.spec_from_file_location("run_file", path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = getattr(module, function, None)
    if run is None:
        raise ModelError(f"{path} has no function {function!r}")
    made = run()
    if not isinstance(made, Run):
        raise ModelError(f"{path}:{function} gave {type(made).__name__}, not a Run")
    return made
