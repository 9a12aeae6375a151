"""Bug or feature, transfer across architectures, and leakage: in miniature, as commands, and their verdicts."""

import json

import pytest
import torch

import featlab as fl
from featlab.central.bugs import verdict as of_attack
from featlab.central.perturbations import share_of
from featlab.central.transfer import correlation, rank_correlation
from featlab.central.transfer import verdict as of_order
from featlab.cli import main
from featlab.intervals import Estimate
from featlab.report.bugs import bugs_page
from featlab.report.leakage import leakage_page
from featlab.report.page import Verdicts, render
from featlab.report.transfer import transfer_page

TINY = """
threat_model = "l2:eps=1.0"
peers = 2
bystanders = 1
students = 1
units = 6
images = 20
train_count = 300
test_count = 200
batch_size = 100
net = { architecture = "small_cnn", arguments = { channels = [4, 8], strides = [2, 2] } }
standard = { epochs = 4, lr = 0.1, batch_size = 50 }
student = { epochs = 2, lr = 0.1, batch_size = 50 }
robust = { epochs = 2, lr = 0.1, batch_size = 50 }
linear = { epochs = 3, lr = 0.02, batch_size = 50 }
inner = { steps = 1, step_size = 1.0 }
perturb = { steps = 4, step_size = 0.4 }
contenders = [
  { name = "cnn", net = { architecture = "small_cnn", arguments = { channels = [4, 8], strides = [2, 2] } } },
  { name = "mlp", net = { architecture = "mlp", arguments = { hidden = [16] } } },
  { name = "linear", net = { architecture = "mlp", arguments = { hidden = [] } } },
]
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    path.write_text(TINY)
    return path


def call(capsys, *arguments, status=0):
    with pytest.raises(SystemExit) as leave:
        main([*map(str, arguments)])
    said = capsys.readouterr()
    assert leave.value.code == status, said.err
    return said.out if status == 0 else said.err


def command(name, recipe, out, *more):
    return (name, "--recipe", recipe, "--device", "cpu", "--out", out, *more)


def words(page):
    return render(page).replace("\N{NO-BREAK SPACE}", " ")


def is_share(found, n):
    assert set(found) == {"accuracy", "low", "high", "n"}
    assert 0 <= found["low"] <= found["accuracy"] <= found["high"] <= 1
    assert found["n"] == n


@pytest.mark.slow
def test_bug_or_feature(recipe, capsys, tmp_path):
    asked = command("bug-or-feature", recipe, tmp_path / "run", "--targets", "random", "--keep-sets")
    found = json.loads(call(capsys, *asked, "--json"))
    pgd, bugs = found["attacks"]
    assert (pgd["attack"], bugs["attack"]) == ("pgd", "non_transferable")
    for attack in (pgd, bugs):
        for key in ("test", "shifted", "noise_control", "mislabel_control", "fooled"):
            is_share(attack[key], 200)
        assert attack["transfer"]["n"] < 200  # Targets that are the image's own class are no success.
        assert 0 < attack["mean_norm"] <= 1.0 + 1e-5
        for key in ("transfer_index", "learning_index"):
            assert attack[key]["low"] <= attack[key]["value"] <= attack[key]["high"]
    assert pgd["mislabel_control"] == bugs["mislabel_control"]  # One control of labels serves both.
    assert "bystanders" in bugs
    assert "bystanders" not in pgd
    # The index is what is beyond the stronger control.
    stronger = max(pgd[key]["accuracy"] for key in ("noise_control", "mislabel_control"))
    assert pgd["learning_index"]["value"] == pytest.approx(pgd["test"]["accuracy"] - stronger)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "run.json", "metrics.jsonl", "report.html", "nets", "sets",
    }  # fmt: skip
    # The same command takes what it found; another one is refused.
    page = (tmp_path / "run" / "report.html").read_text()
    (tmp_path / "run" / "report.html").unlink()
    assert "Bug or feature?" in call(capsys, *asked)
    assert (tmp_path / "run" / "report.html").read_text() == page
    said = call(capsys, *asked, "--seed", 1, status=2)
    assert "other arguments (seed was 0 and is 1 now)" in said
    assert len(said.splitlines()) == 1
    for kind, sentence in (("features", "features of the data"), ("bugs", "bugs of this net")):
        changed = bugs_page({**found, "attacks": [{**pgd, "verdict": kind}, {**bugs, "verdict": kind}]})
        assert f"by both numbers, {sentence}." in words(changed)
        (verdicts,) = (block for block in changed.sections[0].blocks if isinstance(block, Verdicts))
        assert [item.seen for item in verdicts.items] == [kind == "features", kind == "bugs"]


@pytest.mark.slow
def test_a_killed_run_keeps_its_nets_and_ends_the_same(recipe, capsys, tmp_path, monkeypatch):
    """The second run is stopped when its source is made, and goes on to the numbers of the first."""
    whole = json.loads(call(capsys, *command("transfer", recipe, tmp_path / "whole"), "--json"))
    from featlab.central.perturbations import Bench

    right = Bench.perturbed
    monkeypatch.setattr(Bench, "perturbed", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    assert "interrupted" in call(capsys, *command("transfer", recipe, tmp_path / "run"), status=130)
    monkeypatch.setattr(Bench, "perturbed", right)
    made = (tmp_path / "run" / "nets" / "source.safetensors").stat().st_mtime_ns
    again = json.loads(call(capsys, *command("transfer", recipe, tmp_path / "run"), "--json"))
    assert (tmp_path / "run" / "nets" / "source.safetensors").stat().st_mtime_ns == made
    for key in ("architectures", "spearman", "verdict", "reached"):
        assert again[key] == whole[key]
    assert [row["name"] for row in whole["architectures"]] == ["cnn", "mlp", "linear"]
    for row in whole["architectures"]:
        for key in ("clean", "learned", "shifted", "transfer", "transfer_noise", "fooled"):
            is_share(row[key], 200)
    assert whole["spearman"]["each"] == [whole["spearman"]["value"]]  # There is one student of each.
    assert whole["spearman"]["chance"] >= 1 / 6 - 1e-9
    for kind, sentence in (("holds", "holds here"), ("does not hold", "does not hold here")):
        assert sentence in words(transfer_page({**whole, "verdict": kind}))


@pytest.mark.slow
def test_leakage(recipe, capsys, tmp_path):
    found = json.loads(
        call(capsys, *command("leakage", recipe, tmp_path / "run", "--threat-model", "l2:eps=0.2"), "--json")
    )
    assert found["conditions"]["threat_model"] == "l2:eps=0.2"
    linear, robust, fragile = found["groups"]
    assert linear["features"] > 0  # So small a set leaves the features of a linear net provably robust.
    assert linear["features"] == sum(radius > 0.1 for radius in linear["radii_low"])
    assert {"robust units of a robust net", "non-robust units of that net"} == {robust["group"], fragile["group"]}
    assert set(linear["probes"]) == {"data", "d_rand", "d_rand_noise", "d_det", "d_det_noise"}
    for row in (linear, robust, fragile):
        if row["features"] == 0:
            assert row["probes"] is None
            continue
        is_share(row["probes"]["data"]["test"], 200)
        leak = row["probes"]["d_rand"]["test"]["accuracy"] - row["probes"]["d_rand_noise"]["test"]["accuracy"]
        assert row["leaks"]["d_rand"]["value"] == pytest.approx(leak)
    assert linear["probes"]["data"]["test"]["accuracy"] > 0.3  # These features do tell the classes apart.
    text = words(leakage_page(found))
    assert "D_rand leaks through linear features, provably robust at eps 0.1." in text
    none = {**found, "groups": [{**row, "features": 0, "probes": None, "leaks": None} for row in found["groups"]]}
    assert "No feature was robust" in words(leakage_page(none))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("bug-or-feature", "zoo:fashion-standart"), "did you mean"),
        (("leakage", "--robust", "zoo:nothing"), "zoo"),
        (("transfer", "--recipe", "fashion-mimi"), "did you mean 'fashion-mini'?"),
        (("transfer", "--threat-model", "lnif:eps=1"), "did you mean 'linf'"),
    ],
)
def test_bad_arguments_are_one_sentence(capsys, tmp_path, arguments, sentence):
    said = call(capsys, *arguments, "--device", "cpu", "--out", tmp_path / "run", status=2)
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_source_of_other_classes_is_refused(capsys, tmp_path, recipe):
    net = fl.build("mlp", mean=0.3, std=0.3, classes="abc", shape=(1, 28, 28))
    fl.save(net, tmp_path / "three.safetensors")
    said = call(
        capsys, "transfer", tmp_path / "three.safetensors", *command("", recipe, tmp_path / "run")[1:], status=2
    )
    assert "knows 3 classes" in said


def test_a_recipe_needs_three_architectures():
    from featlab import recipes
    from featlab.central.perturbations import PerturbationRecipe

    shipped = recipes.read("perturbations", "fashion-mini", PerturbationRecipe)
    assert len(shipped.contenders) >= 5
    other = shipped.inside("linf:eps=0.15")
    assert other.threat_model == "linf:eps=0.15"
    assert other.perturb.step_size == pytest.approx(0.15 * shipped.perturb.step_size / 1.5)
    assert other.inner.step_size == pytest.approx(0.15 * shipped.inner.step_size / 1.5)
    table = {**vars(shipped), "contenders": shipped.contenders[:2]}
    with pytest.raises(ValueError, match="three architectures or more"):
        PerturbationRecipe(**table)
    with pytest.raises(ValueError, match="1 or more"):
        PerturbationRecipe(**{**vars(shipped), "peers": 0})


def test_an_attack_is_of_features_only_by_both_numbers():
    clear, unclear = Estimate(0.2, 0.1, 0.3), Estimate(0.05, -0.01, 0.1)
    assert of_attack(clear, clear) == "features"
    assert of_attack(clear, unclear) == of_attack(unclear, clear) == "between"
    assert of_attack(unclear, unclear) == "bugs"


def test_shares_of_several_nets_count_each_image_once():
    one, other = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    both = share_of([one, other])
    assert (both.accuracy, both.n) == (0.5, 4)
    assert share_of(one) == fl.Accuracy.of(one) == share_of([one])
    # Two nets that agree are no more evidence than one: twice the same verdicts, the same interval as their mean's.
    assert share_of([one, one]).high == pytest.approx(min(1.0, share_of([one, one, one]).high))


def test_rank_correlation():
    rows = torch.tensor([[1.0, 2.0, 3.0, 4.0]]).double()
    for other, wanted in (((1, 2, 3, 4), 1), ((4, 3, 2, 1), -1), ((2, 1, 4, 3), 0.6), ((1, 1, 1, 1), 0)):
        assert float(rank_correlation(rows, torch.tensor([other]).double())) == pytest.approx(wanted)
    # Ties share their rank: (1, 2.5, 2.5, 4) against (1, 2, 3, 4).
    tied = float(rank_correlation(rows, torch.tensor([[1.0, 2.0, 2.0, 4.0]]).double()))
    assert tied == pytest.approx(4.5 / (5 * 4.5) ** 0.5)


def test_the_order_of_architectures_and_its_chance():
    generator = torch.Generator().manual_seed(0)
    levels = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
    learned, fooled = (torch.rand(500, 5, generator=generator) < levels for _ in range(2))
    rho, chance = correlation(learned.double(), fooled.double(), seed=0)
    assert rho.value == rho.low == rho.high == pytest.approx(1)
    assert chance == pytest.approx(1 / 120)
    assert of_order(rho, chance) == "holds"
    back, chance = correlation(learned.double(), fooled.flip(1).double(), seed=0)
    assert back.value == pytest.approx(-1)
    assert of_order(back, chance) == "does not hold"
    same = torch.rand(500, 3, generator=generator) < 0.5
    loose, chance = correlation(same.double(), same.double(), seed=0)
    assert of_order(loose, chance) == "undecided"  # Three in order are one order in six.


def test_perturbations_that_others_withstand():
    """The non-transferable construction climbs away from what the other net answers, where PGD does not care."""
    from featlab.datasets.construct import Perturbed

    torch.manual_seed(0)
    names, data = "0123456789", fl.open_data("fashion-mini", train=False, count=40)
    source, other = (
        fl.build("mlp", mean=0.3, std=0.35, classes=names, shape=(1, 28, 28), seed=seed) for seed in (0, 1)
    )
    targets, index = (data.labels + 1) % 10, torch.arange(40)
    options = {"within": fl.threat_model("l2:eps=2"), "steps": 10, "step_size": 0.5}
    loss = fl.cross_entropy(other, data.labels)
    plain, spared = (Perturbed(source, data, targets, **options, others=others)(index) for others in ((), (other,)))
    with torch.no_grad():
        assert loss(spared.images).mean() < loss(plain.images).mean()
        assert loss(spared.images).mean() < loss(data.images(index)).mean()
    assert spared.columns["reached"].sum() > 20
    assert torch.equal(spared.labels, targets)
