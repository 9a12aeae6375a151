"""What a result is a function of, as tables: recipe, seeds, versions, data, and what the run cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featlab.report.found import CentralFound
from featlab.report.page import Column, Table, TableRow
from featlab.report.wording import duration, memory, plain


def conditions(found: CentralFound) -> tuple[Table, ...]:
    """Return everything that is needed to get the same numbers again."""
    alike = _alike(found.recipe)
    gathered = {name for names in alike for name in names}
    rest = {name: value for name, value in found.recipe.items() if name not in gathered}
    run = {
        **{f"data, {name}": value for name, value in found.data.items()},
        "device": found.device,
        "time": duration(found.seconds),
        "peak memory": memory(found.peak_rss_bytes),
        **{f"version of {name}": value for name, value in found.versions.items()},
        **{f"seed, {name}": value for name, value in found.seeds.items()},
    }
    attacks = {
        str(attack.get("name", number + 1)): {key: value for key, value in attack.items() if key != "name"}
        for number, attack in enumerate(found.attacks)
    }
    return (
        _pairs("The run", run),
        _pairs("The recipe", rest),
        *(_side_by_side({name: found.recipe[name] for name in names}) for names in alike),
        *([_side_by_side(attacks, caption="The attacks of the curves")] if attacks else []),
    )


def _alike(recipe: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the names of parts of a recipe that have the same keys, such as all schedules, at least two together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, value in recipe.items():
        if isinstance(value, Mapping) and value:
            groups.setdefault(tuple(map(str, value)), []).append(name)
    return [tuple(names) for names in groups.values() if len(names) > 1]


def _pairs(caption: str, values: Mapping[str, Any]) -> Table:
    rows = tuple(TableRow((name, plain(value))) for name, value in values.items())
    return Table(caption, (Column("Name"), Column("Value")), (("", rows),))


def _side_by_side(parts: Mapping[str, Mapping[str, Any]], *, caption: str = "") -> Table:
    """Return parts with the same keys as columns of one table."""
    keys: Sequence[str] = list(dict.fromkeys(key for part in parts.values() for key in part))
    rows = tuple(TableRow((key, *(plain(part.get(key)) for part in parts.values()))) for key in keys)
    columns = (Column("Name"), *(Column(name, numeric=True) for name in parts))
    return Table(caption or f"The recipe of {', '.join(parts)}", columns, (("", rows),))
