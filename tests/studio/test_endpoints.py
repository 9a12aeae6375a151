"""The endpoints: what there is, samples, units and their pictures."""

import io

import pytest
import torch
from PIL import Image

import featlab as fl
from featlab.models import find
from featlab.painting import Json, Painting

from studio_cases import ROBUST, STANDARD


@pytest.fixture(scope="module")
def room(studio_of, models):
    return studio_of(models)


def test_the_page_is_there(room):
    page = room.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "/static/studio.js" in page.text


def test_the_state_names_models_sets_and_tasks(room):
    state = room.json("/api/state")
    assert state["version"] == fl.__version__
    assert [model["name"] for model in state["models"]] == [ROBUST, STANDARD]
    first = state["models"][0]
    assert first["classes"][8] == "Bag"
    assert first["shape"] == [1, 28, 28]
    assert first["data"] == "fashion-mini"
    assert first["card"]["clean"]["accuracy"] > 0.8
    assert {"name": "layer4", "units": 128, "shape": [128, 7, 7]} in first["layers"]
    assert {"name": "penultimate", "units": 128, "shape": [128]} in first["layers"]
    assert first["defaults"] == {"within": "l2:eps=7", "step_size": 0.35, "keep": 90.0, "steps": 60}
    assert state["limits"]["upload_bytes"] == 8_000_000


def test_every_set_that_is_offered_can_be_painted_in(room):
    offered = {each["name"]: each for each in room.json("/api/state")["threat_models"]}
    assert {"l2", "linf", "l1", "box"} <= offered.keys()
    assert not {"masked", "feathered", "flow", "rigid", "fourier"} & offered.keys()
    assert offered["l2"]["fields"][0] | {"help": ""} == {
        "name": "eps",
        "kind": "number",
        "default": None,
        "help": "",
        "choices": [],
        "optional": False,
        "required": True,
    }


def test_every_task_is_offered_with_its_form(room):
    tasks = {each["name"]: each for each in room.json("/api/state")["tasks"]}
    assert set(tasks) == set(fl.plugins.registry().names("tasks")) - {"paint"}
    assert tasks["large-eps"]["words"] == {"model": True, "images": True, "labels": True}
    assert {field["name"] for field in tasks["large-eps"]["fields"]} == {"within", "steps", "relative_step"}
    assert "root" not in {field["name"] for field in tasks["generate"]["fields"]}  # A page opens no paths.
    assert "keep" in {field["name"] for field in room.json("/api/state")["paint"]["fields"]}


def test_samples_by_page(room):
    found = room.json("/api/samples", model=ROBUST, offset=10, count=5)
    images, labels = fl.load_data("fashion-mini", train=False)
    assert found["total"] == len(labels)
    assert [row["index"] for row in found["samples"]] == [10, 11, 12, 13, 14]
    assert [row["label"] for row in found["samples"]] == labels[10:15].tolist()
    assert found["samples"][2]["class"] == "Dress"
    source = Painting.read(
        Json("p", {"version": 1, "model": "", "image": found["samples"][2]["image"], "seed": 0, "strokes": []})
    )
    assert torch.equal(source.image.image((1, 28, 28)), images[12:13])
    assert room.json("/api/samples", model=ROBUST, offset=10**9)["samples"] == []


def test_the_picture_of_a_sample_is_the_sample(room):
    picture = room.get("/api/sample.png", model=ROBUST, index=12)
    assert picture.headers["content-type"] == "image/png"
    images, _ = fl.load_data("fashion-mini", train=False)
    shown = torch.tensor(list(Image.open(io.BytesIO(picture.content)).tobytes())).reshape(28, 28)
    assert torch.equal(shown, (images[12, 0] * 255).round().long())


def test_units_by_page(room, models):
    found = room.json("/api/units", model=ROBUST, layer="penultimate", offset=3, count=2)
    assert found["total"] == 128
    assert [row["unit"] for row in found["units"]] == ["penultimate:3", "penultimate:4"]
    weight = fl.head_of(models[ROBUST]).weight[:, 3]
    assert found["units"][0]["classes"][0] == models[ROBUST].classes[int(weight.argmax())]
    assert all(weight[models[ROBUST].classes.index(name)] > 0 for name in found["units"][0]["classes"])
    assert room.json("/api/units", model=ROBUST, layer="layer1.conv")["units"][0] == {
        "unit": "layer1.conv:0",
        "classes": [],
    }


def test_the_picture_of_a_unit_shows_what_it_responds_to(room, models):
    model = models[ROBUST]
    picture = room.get("/api/unit.png", model=ROBUST, unit="layer4:9").content
    image = torch.tensor(list(Image.open(io.BytesIO(picture)).convert("L").tobytes())).reshape(1, 1, 28, 28) / 255
    score = fl.activation(fl.Layer(model, "layer4:9"))
    grey = torch.full((1, 1, 28, 28), 0.5)
    assert float(score(image)) > 2 * max(float(score(grey)), 0.01)
    assert room.get("/api/unit.png", model=ROBUST, unit="layer4:9").content == picture
    other = room.get("/api/unit.png", model=ROBUST, unit="layer4:10").content
    assert other != picture


def test_a_block_of_units_is_made_once(room, monkeypatch):
    made = []
    keep = fl.ascend
    monkeypatch.setattr("featlab.studio.units.ascend", lambda problem: made.append(problem) or keep(problem))
    for unit in range(64, 72):
        assert room.get("/api/unit.png", model=STANDARD, unit=f"penultimate:{unit}").status_code == 200
    assert len(made) == 1
    assert len(made[0].center) == 8


@pytest.mark.parametrize(
    ("path", "params", "status", "sentence"),
    [
        ("/api/samples", {}, 400, "needs ?model="),
        ("/api/samples", {"model": "zoo:fashion-robus"}, 422, "did you mean 'zoo:fashion-robust'"),
        ("/api/samples", {"model": "/etc/passwd"}, 422, "the model must be one of"),
        ("/api/samples", {"model": "evil.py:make"}, 422, "the model must be one of"),
        ("/api/samples", {"model": ROBUST, "offset": -1}, 400, "offset must be a whole number"),
        ("/api/samples", {"model": ROBUST, "count": 201}, 400, "from 1 to 200; got '201'"),
        ("/api/samples", {"model": ROBUST, "count": "9" * 5000}, 400, "count must be"),
        ("/api/sample.png", {"model": ROBUST, "index": 10**8}, 404, "samples; got index"),
        ("/api/sample.png", {"model": ROBUST, "index": "1e3"}, 400, "index must be"),
        ("/api/units", {"model": ROBUST, "layer": "layer9"}, 422, "the layer must be one of"),
        ("/api/unit.png", {"model": ROBUST, "unit": "layer4"}, 422, "addressed as LAYER:NUMBER"),
        ("/api/unit.png", {"model": ROBUST, "unit": "layer4:128"}, 422, "the number less than 128"),
        ("/api/unit.png", {"model": ROBUST, "unit": "layer4:1@2,2"}, 422, "addressed as LAYER:NUMBER"),
        ("/api/unit.png", {"model": ROBUST, "unit": "../x:1"}, 422, "no layer"),
        ("/api/nothing", {}, 404, "Not Found"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(room, path, params, status, sentence):
    answer = room.get(path, **params)
    assert answer.status_code == status, answer.text
    assert sentence in answer.json()["error"]


def test_a_server_that_ends_makes_no_pictures(studio_of, models):
    room = studio_of(models)
    room.api.closing.set()
    answer = room.get("/api/unit.png", model=ROBUST, unit="layer4:9")
    assert answer.status_code == 422
    assert "closing" in answer.json()["error"]


def test_a_model_without_a_data_set_has_no_samples(studio_of):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))
    model = fl.Classifier(net, mean=0, std=1, classes=("a", "b"), shape=(3, 4, 4), name="tiny")
    room = studio_of({"net.py:make": model})
    assert room.json("/api/samples", model="net.py:make") == {"samples": [], "total": 0}
    (row,) = room.json("/api/state")["models"]
    assert row["data"] is None
    assert row["card"] is None
    assert [(layer["name"], layer["units"]) for layer in row["layers"]] == [
        ("0", 48),
        ("1", 6),
        ("2", 6),
        ("3", 2),
        ("penultimate", 6),
    ]
    assert find(model, "penultimate:5").unit == 5


def test_a_model_of_something_else_is_refused(studio_of):
    model = fl.Classifier(torch.nn.Linear(5, 2), mean=0, std=1, classes=("a", "b"), shape=(5,))
    with pytest.raises(ValueError, match=r"only models of pictures .* can paint; rows takes \(5,\)"):
        studio_of({"rows": model})


def test_a_plugin_that_cannot_be_offered_says_why(studio_of, models, monkeypatch):
    from dataclasses import replace

    from featlab.plugins import Entry, Offer, registry

    whole = registry()
    provider = whole.providers[0]
    broken = Offer("tasks", Entry("broken", "no_such_module:make", "it is not there"), provider)
    monkeypatch.setattr("featlab.studio.catalog.registry", lambda: replace(whole, offers=(*whole.offers, broken)))
    tasks = {each["name"]: each for each in studio_of(models).json("/api/state")["tasks"]}
    assert "No module named 'no_such_module'" in tasks["broken"]["error"]
    assert tasks["invert"]["error"] is None
