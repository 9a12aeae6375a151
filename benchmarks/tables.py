"""Tables of results: for the terminal, and in benchmarks/README.md from the committed results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from rich.table import Table

from benchmarks.quality.study import LESS, ROBUST, STANDARD
from benchmarks.rows import Row, read

HERE = Path(__file__).parent
README, RESULTS = HERE / "README.md", HERE / "results"
TITLES = {
    "ops": "Operators",
    "attacks": "Attacks",
    "ladder": "Levers of the loop",
    "train": "Robust training",
    "tasks": "Tasks",
    "quality": "What is made of tasks",
}
MARKERS = re.compile(r"(<!-- tables -->\n).*?(<!-- end of tables -->)", re.DOTALL)


def rewrite() -> None:
    """Write the tables of all committed results into the README."""
    README.write_text(updated(README.read_text(encoding="utf-8"), RESULTS), encoding="utf-8")


def updated(text: str, results: Path) -> str:
    """Return the README's text with the tables that the results give."""
    if not MARKERS.search(text):
        raise ValueError("the README has no markers `<!-- tables -->` and `<!-- end of tables -->` to write between")
    parts = [part for path in sorted(results.glob("*.json")) for part in document(read(path))]
    return MARKERS.sub(lambda found: f"{found[1]}\n" + "".join(f"{part}\n\n" for part in parts) + found[2], text)


def document(rows: Sequence[Row]) -> list[str]:
    """Return the tables of one result file, each a block of markdown."""
    parts = [f"## {rows[0].device}"] if rows else []
    for section, chosen in sections(rows).items():
        parts += [f"### {TITLES[section]}", conditions(chosen), TABLES[section](chosen), *failures(chosen)]
    return parts


def sections(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the rows of each section; the ladder, and the quality of what tasks make, are their own."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        ladder = "ladder" if row.name.startswith("ladder ") else row.bench
        found.setdefault(ladder if row.found is None else "quality", []).append(row)
    return {section: found[section] for section in TITLES if section in found}


def conditions(rows: Sequence[Row]) -> str:
    """Return under what the rows were measured, in a sentence."""
    loads = [float(found[1]) for row in rows if (found := re.search(r"load ([0-9.]+)$", row.note or ""))]
    clocks = sorted(
        {found[0] for row in rows if (found := re.match(r"(wall|cpu time|graph|events)\b", row.note or ""))}
    )
    skipped = {"python", "commit", "featlab"}
    used = [f"{name} {text}" for name, text in rows[0].versions.items() if name not in skipped and text != "missing"]
    load = f"load of the machine {min(loads):.1f} to {max(loads):.1f}" if loads else "load unknown"
    commits = " and ".join(dict.fromkeys(row.versions["commit"] for row in rows))
    first = f"featlab {rows[0].versions['featlab']} ({commits}), {', '.join(used)}"
    return f"{first}; {(rows[0].date or '')[:10]}; clock: {', '.join(clocks) or 'none'}; {load}."


def failures(rows: Sequence[Row]) -> list[str]:
    """Return what was not measured, and why, as a list; equal reasons are one item."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.error:
            reasons.setdefault((row.provider, row.error), []).append(row.name)
    items = [f"- {provider}: {error} ({len(names)} measurements)" for (provider, error), names in reasons.items()]
    return ["Not measured:", "\n".join(items)] if items else []


def markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table; the first column is text, the others are numbers."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines))


def by_name(rows: Iterable[Row]) -> list[tuple[str, dict[str, Row]]]:
    """Return each measurement's rows by provider."""
    return [(name, {row.provider: row for row in group}) for name, group in groupby(rows, key=lambda row: row.name)]


def providers(rows: Iterable[Row]) -> list[str]:
    """Return the providers in the order of their first row, without repetition."""
    return list(dict.fromkeys(row.provider for row in rows))


def pivot(rows: Sequence[Row], own: str, heads: Mapping[str, Callable[[Row], str]]) -> str:
    """Return a line per measurement: columns of our own row, then how many times faster it is than each rival."""
    rivals = [name for name in providers(rows) if name != own and not name.startswith("roof ")]
    lines = []
    for name, group in by_name(rows):
        mine = group.get(own)
        measured = mine is not None and mine.p50_us is not None
        cells = [head(mine) if measured else "" for head in heads.values()]
        lines.append([name, *cells, *(rival_cell(mine if measured else None, group.get(rival)) for rival in rivals)])
    return markdown(["", *heads, *rivals], lines)


def rival_cell(mine: Row | None, rival: Row | None) -> str:
    """Return how many times faster ours is, with what the rival fooled; its own time where ours is missing."""
    if rival is None or rival.p50_us is None:
        return ""
    speed = f"{mine.ratio[rival.provider]:.2f}x" if mine is not None and mine.ratio else milliseconds(rival)
    return speed if rival.fooled is None else f"{speed}, {rival.fooled:.1%}"


def milliseconds(row: Row) -> str:
    """Return the median in milliseconds, with at least three digits."""
    if row.p50_us is None:
        return ""
    value = row.p50_us / 1e3
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"


def microseconds(row: Row) -> str:
    """Return the median in microseconds."""
    return f"{row.p50_us:,.0f} us" if row.p50_us is not None else ""


def percent(value: float | None) -> str:
    """Return a part as a percentage."""
    return "" if value is None else f"{value:.1%}"


def ops_table(rows: Sequence[Row]) -> str:
    """Return the operators: time and part of the roof of ours, then how many times faster than each rival."""
    heads = {"featlab operator": microseconds, "of the roof": lambda row: percent(row.roof_fraction)}
    return pivot(rows, "featlab operator", heads)


def attacks_table(rows: Sequence[Row]) -> str:
    """Return the attacks: time and fooled of ours; then how many times faster than each rival, and what it fooled."""
    return pivot(rows, "featlab", {"featlab": milliseconds, "fooled": lambda row: percent(row.fooled)})


def ladder_table(rows: Sequence[Row]) -> str:
    """Return the ladder: the default's time and fooled, then each lever's time relative to it."""
    levers = [name for name in providers(rows) if name != "default"]
    lines = []
    for name, group in by_name(rows):
        default = group["default"]
        cells = [relative(group[lever], default) if lever in group else "" for lever in levers]
        lines.append([name.removeprefix("ladder "), milliseconds(default), percent(default.fooled), *cells])
    return markdown(["", "default", "fooled", *levers], lines)


def relative(row: Row, default: Row) -> str:
    """Return how many times the default's time a lever takes, with what it fooled."""
    if row.p50_us is None or default.p50_us is None:
        return ""
    return f"{row.p50_us / default.p50_us:.2f}x the time, {percent(row.fooled)}"


def noted_table(rows: Sequence[Row]) -> str:
    """Return one line per row, with its own note."""
    lines = []
    for name, group in by_name(rows):
        for row in group.values():
            note = "; ".join((row.note or "").split("; ")[:1])
            faster = ", ".join(f"{rival} {ratio:.2f}x" for rival, ratio in (row.ratio or {}).items())
            lines.append([name, row.provider, milliseconds(row), faster, note])
    return markdown(["", "provider", "p50", "faster than", "result"], lines)


def quality_table(rows: Sequence[Row]) -> str:
    """Return a line per measure: the robust net, the standard net, their difference, and the others."""
    lines = []
    for name, group in by_name(rows):
        own = [with_interval(group[who]) if who in group else "" for who in (ROBUST, STANDARD, LESS)]
        others = [f"{who} {with_interval(row)}" for who, row in group.items() if who not in {ROBUST, STANDARD, LESS}]
        lines.append([name, *own, "; ".join(others)])
    return markdown(["", ROBUST, STANDARD, LESS, "without a net"], lines)


def with_interval(row: Row) -> str:
    """Return what was found with its 95 % interval."""
    assert row.found is not None
    numbers = [row.found[key] for key in ("value", "low", "high")]
    if None in numbers:
        return "infinite"
    digits = 2 if max(map(abs, numbers)) >= 10 else 3
    value, low, high = (f"{number:z.{digits}f}" for number in numbers)
    return f"{value} [{low}, {high}]"


TABLES = {
    "ops": ops_table,
    "attacks": attacks_table,
    "ladder": ladder_table,
    "train": noted_table,
    "tasks": noted_table,
    "quality": quality_table,
}


def shown(title: str, rows: Sequence[Row]) -> Table:
    """Return the rows as a table for the terminal."""
    if rows and rows[0].found is not None:
        return shown_quality(title, rows)
    caption = f"{rows[0].device}, PyTorch {rows[0].versions['torch']}" if rows else "nothing matches --only"
    table = Table("provider", title=title, title_justify="left", caption=caption)
    for heading in ("p20 us", "p50 us", "p80 us", "roof", "fooled", "featlab is"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, group in by_name(rows):
        table.add_section()
        table.add_row(f"[bold]{name}[/bold]")
        first = next(iter(group.values()))
        own = next((row for row in group.values() if row.ratio), first)
        for row in group.values():
            times = [f"{value:,.0f}" if value is not None else "" for value in (row.p20_us, row.p50_us, row.p80_us)]
            ladder = "default" in group
            ratio = (row.ratio or {}).get("default") if ladder else (own.ratio or {}).get(row.provider)
            last = "" if ratio is None else f"{ratio:.2f}x {'as fast as default' if ladder else 'faster'}"
            table.add_row(f"  {row.provider}", *times, percent(row.roof_fraction), percent(row.fooled), last)
            if row.error:
                table.add_row(f"    [red]{row.error}[/red]")
    return table


def shown_quality(title: str, rows: Sequence[Row]) -> Table:
    """Return what was found as a table for the terminal, a line for each net and baseline."""
    table = Table("", title=title, title_justify="left", caption="95 % intervals")
    table.add_column("found", justify="right", no_wrap=True)
    for name, group in by_name(rows):
        table.add_section()
        table.add_row(f"[bold]{name}[/bold]")
        for row in group.values():
            table.add_row(f"  {row.provider}", with_interval(row))
    return table
