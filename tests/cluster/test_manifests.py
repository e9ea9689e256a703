"""The manifests say what KubeRay and Ray understand, agree with each other, and a misspelt field is found."""

import copy
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import tyro
import yaml
from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from lexlip.commands.sizing import Size, in_bytes
from pipelines.encode import Encode
from pipelines.pretrain import PretrainArguments
from serve.settings import API_KEY_VARIABLE, ServeSettings

REPOSITORY = Path(__file__).parents[2]
CLUSTER = REPOSITORY / "cluster"
NAMES = ["raycluster.yaml", "rayjob-encode.yaml", "rayjob-pretrain.yaml", "rayservice.yaml", "storage.yaml"]
Manifests = dict[str, dict[str, Any]]


def cluster_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec = manifest["spec"]
    return spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec


def pods_of(cluster: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [(group["rayStartParams"], group["template"]["spec"]) for group in groups]


def names_in(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Paths of all keys in nested dictionaries and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(value, dict):
            yield (*path, key)
        yield from names_in(inner, (*path, key))


def test_every_manifest_is_known_here(manifests: Manifests) -> None:
    assert sorted(manifests) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_manifests_fit_and_a_misspelt_field_does_not(manifests: Manifests, kuberay: ModuleType, name: str) -> None:
    manifest = manifests[name]
    model = kuberay.MODELS[manifest["kind"]]
    model.model_validate(manifest)
    paths = list(names_in(manifest))
    assert len(paths) > 5
    for path in paths:
        broken = copy.deepcopy(manifest)
        holder = broken
        for step in path[:-1]:
            holder = holder[step]
        holder[f"{path[-1]}s"] = holder.pop(path[-1])
        with pytest.raises(ValidationError):
            model.model_validate(broken)


@pytest.mark.parametrize("name", NAMES[:4])
def test_memory_adds_up(manifests: Manifests, kuberay: ModuleType, name: str) -> None:
    for start, pod in pods_of(cluster_of(manifests[name])):
        (container,) = pod["containers"]
        limits, requests = container["resources"]["limits"], container["resources"]["requests"]
        assert limits == requests  # what Ray was promised is there
        shared = next(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if "emptyDir" in volume)
        assert int(start["object-store-memory"]) <= kuberay.amount(shared) < kuberay.amount(limits["memory"]) / 2
        assert int(start["num-cpus"]) in (0, kuberay.amount(limits["cpu"]))
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted == {"shared-memory": "/dev/shm", "data": "/data/lexlip"}
        assert {volume["name"] for volume in pod["volumes"]} == set(mounted)
        claims = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if "emptyDir" not in volume]
        assert claims == [manifests["storage.yaml"]["metadata"]["name"]]
        assert container["image"].endswith("-gpu" if "nvidia.com/gpu" in limits else "-cpu")


@pytest.mark.parametrize("name", NAMES[:4])
def test_clusters_run_the_ray_that_we_pin_and_scale(manifests: Manifests, name: str) -> None:
    cluster = cluster_of(manifests[name])
    pinned = re.search(r"^ray==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert cluster["rayVersion"] == pinned[1]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_jobs_are_commands_that_the_pipelines_take(manifests: Manifests) -> None:
    for name, settings in (("rayjob-pretrain.yaml", PretrainArguments), ("rayjob-encode.yaml", Encode)):
        program, script, *arguments = shlex.split(manifests[name]["spec"]["entrypoint"])
        assert program == "python"
        assert (REPOSITORY / Path(script).relative_to("/opt/lexlip")).is_file()
        parsed = tyro.cli(settings, args=arguments)
        gpus = {
            group["groupName"]: group["replicas"]
            for group in cluster_of(manifests[name])["workerGroupSpecs"]
            if group["groupName"] == "gpu"
        }
        wanted = parsed.actors.actors if isinstance(parsed, Encode) else parsed.resources.workers
        assert gpus == {"gpu": wanted}


def test_the_service_is_the_one_of_the_serve_config_with_a_key(manifests: Manifests) -> None:
    spec = manifests["rayservice.yaml"]["spec"]
    config = yaml.safe_load(spec["serveConfigV2"])
    plain = yaml.safe_load((CLUSTER / "serve.yaml").read_text())
    assert config["applications"] == plain["applications"]
    schema = ServeDeploySchema.model_validate(config)
    assert schema.http_options.host == "0.0.0.0"
    (application,) = schema.applications
    settings = ServeSettings.from_arguments(application.args)
    jobs = " ".join(manifests[name]["spec"]["entrypoint"] for name in ("rayjob-pretrain.yaml", "rayjob-encode.yaml"))
    assert f"--out {settings.model}" in jobs
    assert f"--index {settings.index}" in jobs
    for _, pod in pods_of(spec["rayClusterConfig"]):
        (container,) = pod["containers"]
        assert [variable["name"] for variable in container["env"]] == [API_KEY_VARIABLE]
        assert schema.http_options.port in {port["containerPort"] for port in container["ports"]}


def test_ray_up_fits_rays_own_schema() -> None:
    schema = json.loads(Path(ray.autoscaler.__file__).with_name("ray-schema.json").read_text())
    config = yaml.safe_load((CLUSTER / "ray-up.yaml").read_text())
    jsonschema.validate(config, schema)
    for name in config:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({(f"{key}s" if key == name else key): value for key, value in config.items()}, schema)
    assert config["head_node_type"] in config["available_node_types"]
    commands = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    assert all("RAY_AUTH_MODE=token" in command for command in commands if "ray start" in command)


def test_the_image_is_not_root_and_holds_the_code() -> None:
    stages = (CLUSTER / "Dockerfile").read_text().split("\nFROM ")
    assert [stage.splitlines()[0].split(" AS ")[1] for stage in stages[1:]] == ["base", "cpu", "gpu"]
    for stage in stages[2:]:
        assert "COPY . ." in stage
        assert stage.rstrip().endswith("USER ray")
    ignored = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    assert ignored[0] == "**"
    assert all((REPOSITORY / name).exists() for name in kept)
    assert {"lexlip", "pipelines", "serve", "pyproject.toml", "constraints.txt"} <= set(kept)


def test_the_table_of_sizes_is_what_the_calculator_says() -> None:
    names = {"1M": 1e6, "100M": 1e8, "1B": 1e9, "10B": 1e10}
    rows = [line.strip("| \n").split(" | ") for line in (CLUSTER / "README.md").read_text().splitlines()]
    rows = [row for row in rows if row[0] in names]
    assert {row[0] for row in rows} == set(names)
    for images, terms, bits, postings, identifiers, shards, nodes, dense, dense_nodes in rows:
        sizes = Size(images=names[images], terms=float(terms), bits=int(bits)).sizes()
        assert in_bytes(sizes.postings).strip() == postings
        assert in_bytes(sizes.identifiers).strip() == identifiers
        assert in_bytes(sizes.dense).strip() == dense
        assert (f"{sizes.shards:,}", f"{sizes.nodes:,}", f"{sizes.dense_nodes:,}") == (shards, nodes, dense_nodes)
