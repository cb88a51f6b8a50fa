"""Settings that come with the project."""

from pathlib import Path

import pytest

from molrecon.evaluation.comparison import ComparisonConfig, read_config

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("compare-*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_settings_are_valid_and_survive_being_written(path):
    settings = read_config(path)
    assert ComparisonConfig.model_validate(settings.model_dump(mode="json")) == settings


def test_there_are_some():
    assert CONFIGS
