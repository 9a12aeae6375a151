"""`featlab models` and `featlab layers`."""

import json

import pytest
from click.testing import CliRunner

from featlab.cli.models import layers, models
from featlab.models import architectures, build, layer_shapes, save


@pytest.fixture
def saved(tmp_path):
    model = build(
        "small_cnn", mean=0, std=1, classes="abc", shape=(1, 8, 8), arguments={"channels": [2], "strides": [2]}
    )
    save(model, tmp_path / "m.safetensors")
    return model, str(tmp_path / "m.safetensors")


def test_models_lists_what_there_is():
    result = CliRunner().invoke(models, ["--json"], catch_exceptions=False)
    said = json.loads(result.output)
    assert said["architectures"] == architectures()
    assert {"zoo", "specs"} <= said.keys()
    text = CliRunner().invoke(models, catch_exceptions=False).output
    assert all(spec in text for spec in said["specs"])


def test_layers_lists_names_and_shapes(saved):
    model, path = saved
    said = json.loads(CliRunner().invoke(layers, [path, "--json"], catch_exceptions=False).output)
    assert said["hash"] == model.hash()
    assert [row["name"] for row in said["layers"]] == [row.name for row in layer_shapes(model)]
    assert said["layers"][0]["shape"] == [2, 4, 4]
    text = CliRunner().invoke(layers, [path], catch_exceptions=False).output
    assert "layer1.conv" in text
    assert "2x4x4" in text


def test_layers_at_another_shape(tmp_path):
    model = build("resnet18", mean=0, std=1, classes="ab", shape=(3, 8, 8), arguments={"width": 2})
    save(model, tmp_path / "m.safetensors")
    arguments = [str(tmp_path / "m.safetensors"), "--shape", "3,16,16", "--json"]
    rows = json.loads(CliRunner().invoke(layers, arguments, catch_exceptions=False).output)["layers"]
    assert rows[0]["shape"] == [2, 16, 16]
