"""How the findings of an audit are put into words and cells, everywhere on its page alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from featlab.audit.findings import Audit, Feature
from featlab.evaluation import Accuracy
from featlab.intervals import Estimate, Mean
from featlab.report.svg import BLUE, VERMILION
from featlab.report.wording import measured

TONES = (BLUE, VERMILION)
"""The colours of the first and of the second model."""

Audits = Sequence[Audit]


def number(value: float) -> str:
    """Return a number with two decimals, or with two digits where it is small."""
    if math.isnan(value):
        return "unknown"
    if value == 0 or abs(value) >= 0.1:
        text = f"{value:.2f}"
    else:
        text = f"{value:.2g}" if abs(value) >= 1e-4 else f"{value:.1e}"
    return text.replace("-", "\N{MINUS SIGN}", 1) if value < 0 else text


def ranged(found: Estimate | Mean) -> str:
    """Return a number with its 95 % interval."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return number(found.value)
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})".replace(" to ", NARROW_TO)


NARROW_TO = "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}"


def share(found: Estimate) -> str:
    """Return a share of 1 with its 95 % interval, in per cent; it need not lie in [0, 1]."""
    value, low, high = (part(each) for each in (found.value, found.low, found.high))
    return f"{value} ({low}{NARROW_TO}{high})"


def part(value: float) -> str:
    """Return a share of 1 in per cent, which may be negative."""
    text = f"{value:.1%}"
    return "0.0%" if text == "-0.0%" else text.replace("-", "\N{MINUS SIGN}")


def accuracy(found: Accuracy) -> str:
    """Return an accuracy with its interval."""
    return measured(found)


def as_share(found: Mean) -> Accuracy:
    """Return a mean share of energy as charts of shares want it, its interval cut to [0, 1]."""
    low, high = (end if math.isfinite(end) else found.value for end in (found.low, found.high))
    return Accuracy(found.value, max(0.0, low), min(1.0, high), found.n)


def listed(words: Sequence[str]) -> str:
    """Return words with commas, and an "and" before the last."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def subject(audit: Audit, audits: Audits) -> str:
    """Return what begins a sentence about one model: nothing has to be told apart where there is one."""
    return f"{audit.label}: " if len(audits) > 1 else ""


def titled(title: str, audit: Audit, audits: Audits) -> str:
    """Return a title, with the model's name where there are two."""
    return f"{title}, {audit.label}" if len(audits) > 1 else title


def speaks(feature: Feature, classes: Sequence[str]) -> str:
    """Return what a feature says: the class that it is most useful for, and whether high or low values mean it."""
    return f"{'high' if feature.sign > 0 else 'low'} for {classes[feature.label]}"


def many(count: int, one: str, several: str = "") -> str:
    """Return a count with its noun."""
    return f"{count} {one if count == 1 else several or one + 's'}"
