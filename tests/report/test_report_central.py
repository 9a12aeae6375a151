"""The page and the terminal show every number of the result, and the verdicts that it holds."""

import io
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from featlab.report import central_page, central_table, render
from featlab.report.found import read
from featlab.report.wording import count, duration, memory, plain


class Text(HTMLParser):
    """The words of a page outside its drawings, its style and what is folded away."""

    def __init__(self):
        super().__init__()
        self.words, self.hidden = [], 0

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in {"svg", "style", "details"}

    def handle_endtag(self, tag):
        self.hidden -= tag in {"svg", "style", "details"}

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)


def words_of(result):
    text = Text()
    text.feed(render(central_page(result, [])))
    return " ".join(" ".join(text.words).split())


def shares(value):
    """Yield every accuracy of a nested result."""
    if isinstance(value, dict) and "accuracy" in value:
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from shares(each)
    elif isinstance(value, list):
        for each in value:
            yield from shares(each)


def test_every_accuracy_is_shown_with_its_interval(result):
    text, shown = words_of(result), list(shares(result))
    assert len(shown) == 4 * 4 + 2 * 6
    for each in shown:
        assert f"{each['accuracy']:.1%} ({each['low']:.1%} to {each['high']:.1%})" in text, each


def test_the_drawings_show_every_accuracy_too(result):
    html = render(central_page(result, [])).replace("\N{NO-BREAK SPACE}", " ")
    drawn = " ".join(re.findall(r"<svg .*?</svg>", html, flags=re.DOTALL))
    made = result["constructed"]
    measured = [made[name][key] for name in ("d_rand", "d_det") for key in made[name] if key != "attack_success"]
    nets = [result["standard"], result["robust"], made["d_r"], made["d_nr"]]
    for each in [*shares(measured), *shares(nets)]:
        assert f"{each['accuracy']:.1%} ({each['low']:.1%} to {each['high']:.1%}), n = 2000" in drawn, each


def test_conditions_are_shown(result):
    text = words_of(result)
    for words in (
        "made-up data",
        "5 min 12 s",
        "1.50 GiB",
        "l2, eps 1",
        "version of torch 2.11.0",
        "version of featlab 9.8.7",
        "seed, run 11",
        "standard 12; robust 13",
        "suite quick",
        "large_eps 6.125",
        "lr 0.1 0.07",
        "weight_decay 0.0005 0.0005",
    ):
        assert words in text, words
    for name in ("d_rand", "d_det"):
        assert f"{result['constructed'][name]['mean_norm']:.3f}" in text


def test_verdicts_are_those_of_the_result(result):
    html = render(central_page(result, []))
    assert "2 of 3 claims were seen" in html
    for check in result["checks"]:
        word = "Seen" if check["seen"] else "Not seen"
        assert re.search(rf'class="badge">{word}</span>\s*<strong>{re.escape(check["claim"])}</strong>', html)
        assert check["text"] in html
    for check in result["checks"]:
        check["seen"] = False
    assert "0 of 3 claims were seen" in render(central_page(result, []))


def test_no_number_is_there_without_the_result(result):
    """Two results without a number in common make pages without a measurement in common."""
    other = {**result, "standard": result["robust"], "robust": result["standard"]}
    for each in shares(other):
        each.update(accuracy=each["accuracy"] / 10, low=each["low"] / 10, high=each["high"] / 10)
    for check in other["checks"]:
        check["text"] = ""
    found = set(re.findall(r"\d+\.\d%", words_of(other)))
    allowed = {f"{each[key]:.1%}" for each in shares(other) for key in ("accuracy", "low", "high")}
    assert found
    assert found <= allowed


def test_chance_comes_from_the_number_of_classes(result):
    assert "chance is" not in words_of(result)
    assert "chance is 4.0%" in words_of({**result, "classes": 25})
    assert "chance 4.0%" in render(central_page({**result, "classes": 25}, []))
    with pytest.raises(ValueError, match="classes"):
        central_page({**result, "classes": 0}, [])


def test_accuracy_without_attack_is_not_shown_twice(result):
    assert "no attack" in words_of(result)
    for net in (result["standard"], result["robust"], *(result["constructed"][name] for name in ("d_r", "d_nr"))):
        net["robust"].insert(0, {"eps": 0.0, **net.get("clean", net.get("test"))})
    text = words_of(result)
    assert "no attack" not in text
    clean = result["standard"]["clean"]["accuracy"]
    assert text.count(f"{clean:.1%} (") == 1


def test_data_may_be_an_object_attacks_are_listed_and_what_is_unknown_is_left_out(result):
    result["data"] = {"name": "a set", "train": 12000, "test": 345, "test_sha256": "ab" * 32}
    result["attacks"] = [{"name": "pgd-ce", "steps": 20, "restarts": 1}, {"name": "mi-fgsm", "steps": 7, "restarts": 3}]
    result["surprise"] = {"accuracy": "no"}
    result["constructed"]["d_rand"]["noise_mean_norm"] = 0.4321
    text = words_of(result)
    assert "Training images 12 000 Test images 345" in text
    for words in ("ab" * 32, "steps 20 7", "restarts 1 3", "its noise 0.432", "on a set"):
        assert words in text, words


def test_pictures_get_a_section_of_their_own(result, picture):
    titles = [section.title for section in central_page(result, [picture]).sections]
    assert titles.index("Pictures") == len(titles) - 2
    assert "Pictures" not in [section.title for section in central_page(result, []).sections]


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("eps",), None, "the result has no eps"),
        (("constructed", "d_det", "shifted"), None, "has no constructed.d_det.shifted"),
        (("constructed", "d_nr"), None, "has no constructed.d_nr"),
        (("robust", "robust"), 3, "robust.robust of the result must be a list"),
        (
            ("standard", "clean"),
            {"accuracy": 0.5, "low": 0.6, "high": 0.7, "n": 3},
            "standard.clean of the result must",
        ),
        (("standard", "clean"), {"accuracy": float("nan"), "low": 0.0, "high": 1.0, "n": 3}, "standard.clean"),
        (("seconds",), "12", "seconds of the result must be a number"),
        (("checks",), [{"claim": "c", "seen": "yes", "text": "t"}], r"checks\[0\].seen of the result must be true"),
        (("recipe",), [1], "recipe of the result must be an object"),
    ],
)
def test_an_incomplete_result_is_named_where_it_is_so(result, path, value, match):
    *way, last = path
    inner = result
    for key in way:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    for show in (read, central_table, lambda each: central_page(each, [])):
        with pytest.raises(ValueError, match=match):
            show(result)


def printed(result, width):
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(central_table(result))
    return console.export_text()


def test_the_terminal_shows_every_accuracy_in_80_columns(result):
    text = printed(result, 80)
    assert max(map(len, text.splitlines())) <= 80
    for each in shares(result):
        assert f"{each['accuracy']:.1%}" in text
        assert f"{100 * each['low']:.1f}-{100 * each['high']:.1f}" in text
    assert "2 of 3 claims seen, in 5 min 12 s on cpu" in text
    assert re.search("not seen +It is not so", text)
    assert re.search("  seen +It is so|^ seen +It is so", text, flags=re.MULTILINE)


def test_words_are_no_markup_in_the_terminal(result):
    result["checks"][0]["claim"] = "[bold]loud[/bold] [/nonsense]"
    assert "[bold]loud[/bold] [/nonsense]" in printed(result, 100)


def test_numbers_are_written_as_people_write_them():
    assert [duration(each) for each in (0.04, 59.94, 61, 3599.6, 3661, 7325)] == [
        "0.0 s", "59.9 s", "1 min 1 s", "1 h 0 min", "1 h 1 min", "2 h 2 min",
    ]  # fmt: skip
    assert [memory(each) for each in (2**20, 2**29, 2**30, 5 * 2**29)] == ["1 MiB", "512 MiB", "1.00 GiB", "2.50 GiB"]
    assert count(1234567) == "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567"
    assert [plain(each) for each in (0.1, 0.0005, 1 / 3, 1.0, True, None, "", [1, 2.5], {"a": {"b": 1}, "c": "x"})] == [
        "0.1", "0.0005", repr(1 / 3), "1", "yes", "none", "none", "1, 2.5", "a (b 1); c x",
    ]  # fmt: skip
