"""Recipes: every shipped one is valid, and a wrong key or value is one sentence."""

import pytest

from featlab import recipes
from featlab.central.recipe import Recipe
from featlab.recipes.nets import NetRecipe


@pytest.mark.parametrize("name", recipes.names("central"))
def test_shipped_central_recipes_are_valid(name):
    recipe = recipes.read("central", name, Recipe)
    assert recipe.eps in recipe.curve
    assert recipe.eps / 2 in recipe.curve


@pytest.mark.parametrize("name", recipes.names("nets"))
def test_shipped_net_recipes_are_valid(name):
    recipe = recipes.read("nets", name, NetRecipe)
    adversary = recipe.inner.adversary()
    assert (adversary is None) == name.endswith(("standard", "judge"))


def test_some_are_shipped():
    assert {"fashion-mini", "paper"} <= set(recipes.names("central"))
    assert {"cifar10-l2", "cifar10-linf", "cifar10-standard"} <= set(recipes.names("nets"))


GOOD = 'data = "x"\n[net]\narchitecture = "small_cnn"\n[schedule]\nepochs = 1\nlr = 1\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("epochs = 1", "epoch = 1"), "did you mean 'epochs'"),
        (GOOD.replace("epochs = 1", "epochs = 1.5"), "epochs must be of type int, got 1.5"),
        (GOOD.replace("epochs = 1", "epochs = true"), "epochs must be of type int, got True"),
        (GOOD.replace('data = "x"\n', ""), "lacks data"),
        (GOOD.replace("lr = 1", 'lr = "1"'), "lr must be of type float"),
        (GOOD.replace("lr = 1", "lr = -1"), "lr must be >= 0"),
        ("net = 3\n" + GOOD.replace('[net]\narchitecture = "small_cnn"\n', ""), "must be a table"),
        ("= 3", "not valid TOML"),
    ],
)
def test_wrong_recipes_are_refused(tmp_path, text, message):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        recipes.read("nets", str(path), NetRecipe)


def test_whole_numbers_serve_as_floats(tmp_path):
    (tmp_path / "r.toml").write_text(GOOD)
    assert recipes.read("nets", str(tmp_path / "r.toml"), NetRecipe).schedule.lr == 1.0


def test_an_unknown_recipe_has_a_near_match():
    with pytest.raises(ValueError, match="did you mean 'cifar10-linf'"):
        recipes.read("nets", "cifar10-lnf", NetRecipe)
