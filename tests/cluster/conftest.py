"""The manifests of cluster/, and the models that they have to fit."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster"


@pytest.fixture(scope="session")
def kuberay() -> ModuleType:
    """The strict models of `kuberay_models.py`."""
    spec = importlib.util.spec_from_file_location("kuberay_models", Path(__file__).with_name("kuberay_models.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kuberay_models"] = module  # pydantic looks there for names in annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def manifests() -> dict[str, dict[str, Any]]:
    """Every Kubernetes manifest by its file's name, as plain values."""
    files = {file.name: yaml.safe_load(file.read_text()) for file in sorted(CLUSTER.glob("*.yaml"))}
    return {name: content for name, content in files.items() if "kind" in content}
