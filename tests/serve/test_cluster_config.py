"""The Serve configuration for clusters names real settings of the application, and Serve understands it."""

from pathlib import Path

import yaml
from ray.serve.schema import ServeDeploySchema

from serve.settings import ServeSettings

CONFIG = Path(__file__).parents[2] / "cluster" / "serve.yaml"


def test_serve_understands_the_configuration_and_it_binds_to_this_machine() -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load(CONFIG.read_text()))

    (application,) = config.applications
    assert application.import_path == "serve.app:lexlip"
    assert config.http_options.host == "127.0.0.1"
    assert ServeSettings.from_arguments(application.args).replicas >= 2
