"""How soon the studio answers a stroke, and how many frames it draws: `python -m benchmarks.studio`.

A Chromium without a window paints strokes on the shipped robust net, on the CPU. Times are the page's own: from the
event of the pointer to the moment at which a frame has been drawn. The machine should have nothing else to do.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from studio_page import Hand, chromium, handed, served

WATCH = """() => {
    window.marks = {};
    const begin = (name) => window.addEventListener(name, () => {
        window.marks[name] = performance.now();
        window.marks[`${name} first`] = undefined;
        window.marks.frames = [];
    }, { capture: true });
    begin("pointerdown");
    begin("pointerup");
    new MutationObserver(() => {
        const now = performance.now();
        for (const name of ["pointerdown", "pointerup"]) window.marks[`${name} first`] ??= now - window.marks[name];
        window.marks.frames?.push(now);
    }).observe(document.body, { attributeFilter: ["data-frames"] });
}"""
"""Note when the hand comes down and goes up, and when each frame has been drawn."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--strokes", default=20, show_default=True, type=click.IntRange(min=2))
@click.option("--steps", default=300, show_default=True, help="Steps of a stroke.")
@click.option("--beside", is_flag=True, help="The standard net runs beside the robust one.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path))
def main(strokes: int, steps: int, beside: bool, path: Path | None) -> None:
    """Paint strokes and print how soon and how often they were answered."""
    from playwright.sync_api import sync_playwright

    where = chromium()
    if where is None:
        raise click.ClickException("there is no Chromium; name one with FEATLAB_CHROMIUM")
    with sync_playwright() as driver, served() as address:
        browser = driver.chromium.launch(executable_path=where, args=["--no-sandbox"])
        with handed(browser, address) as hand:
            measured = painted(hand, strokes, steps, beside=beside)
        facts = {"browser": browser.version, "strokes": strokes, "steps": steps, "models": 2 if beside else 1}
        browser.close()
    found = {**facts, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2), **summed(measured)}
    for name, value in found.items():
        click.echo(f"{name:<28}{value}")
    if path is not None:
        path.write_text(json.dumps(found, indent=1) + "\n")


def painted(hand: Hand, strokes: int, steps: int, *, beside: bool) -> list[dict[str, float]]:
    """Paint strokes, undoing each; return the times of each."""
    hand.open()
    if beside:
        hand.page.select_option("#beside", index=1)
        hand.page.wait_for_selector(".stage.beside .stage-answer:not(:empty)")
    hand.page.evaluate(WATCH)
    hand.set("steps", steps)
    hand.page.click(".class-button[data-class='3']")
    measured = []
    for number in range(strokes + 1):
        hand.draw((13, 8), (14, 16 + number % 8))
        hand.rest(1)
        marks = hand.page.evaluate("window.marks")
        frames = marks["frames"]
        seconds = (frames[-1] - frames[0]) / 1000
        measured.append(
            {
                "down": marks["pointerdown first"],
                "up": marks["pointerup first"],
                "rate": (len(frames) - 1) / seconds,
                "steps": steps / seconds,
            }
        )
        hand.page.click("#undo")
        hand.rest(0)
    return measured[1:]  # The first one warms up.


def summed(measured: list[dict[str, float]]) -> dict[str, str]:
    """Return medians and worst cases, in words."""

    def told(name: str, worst: object, unit: str) -> str:
        values = [each[name] for each in measured]
        return f"{statistics.median(values):.0f} {unit}, at worst {worst(values):.0f} {unit}"

    return {
        "first frame after touching": told("down", max, "ms"),
        "first frame after letting go": told("up", max, "ms"),
        "frames drawn": told("rate", min, "per second"),
        "steps run": told("steps", min, "per second"),
    }


if __name__ == "__main__":
    main()
