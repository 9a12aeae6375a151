"""The result of the central experiment, read from its plain JSON object into values that the page can trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featlab.evaluation import Accuracy

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """The accuracy that is left at one eps."""

    eps: float
    left: Accuracy


@dataclass(frozen=True)
class NetFound:
    """A net's accuracy on the original test images, and under attack over eps."""

    clean: Accuracy
    curve: tuple[Point, ...]

    def points(self) -> tuple[Point, ...]:
        """Return the curve from eps 0 on: without attack it is the clean accuracy."""
        attacked = tuple(sorted(self.curve, key=lambda point: point.eps))
        return attacked if attacked and attacked[0].eps == 0 else (Point(0.0, self.clean), *attacked)


@dataclass(frozen=True)
class PerturbedFound:
    """What nets learned from D_rand or D_det and from their controls."""

    test: Accuracy
    second_seed: Accuracy
    noise_control: Accuracy
    mislabel_control: Accuracy
    shifted: Accuracy
    attack_success: Accuracy
    mean_norm: float
    noise_mean_norm: float | None


@dataclass(frozen=True)
class CheckFound:
    """A claim, whether it was seen, and the numbers that say so."""

    claim: str
    seen: bool
    text: str


@dataclass(frozen=True)
class CentralFound:
    """Everything that the page shows; `chance` is None where the number of classes is not recorded.

    `attacks` are the attacks of the curves, one record each, where the result lists them.
    """

    data: Mapping[str, Any]
    device: str
    seconds: float
    peak_rss_bytes: int
    threat_model: str
    eps: float
    chance: float | None
    attacks: tuple[Row, ...]
    recipe: Mapping[str, Any]
    seeds: Mapping[str, Any]
    versions: Mapping[str, Any]
    standard: NetFound
    robust: NetFound
    perturbed: Mapping[str, PerturbedFound]
    represented: Mapping[str, NetFound]
    checks: tuple[CheckFound, ...]


def read(result: Row) -> CentralFound:
    """Return a result as checked values; keys that are not known are left out.

    Raises ValueError, naming the place, where something is missing, of another kind, or no accuracy in [0, 1].
    """
    made, data, classes = _object(result, "constructed"), _need(result, "data"), result.get("classes")
    return CentralFound(
        data=data if isinstance(data, Mapping) else {"name": str(data)},
        device=str(_need(result, "device")),
        seconds=_number(result, "seconds"),
        peak_rss_bytes=int(_number(result, "peak_rss_bytes")),
        threat_model=str(_need(result, "threat_model")),
        eps=_number(result, "eps"),
        chance=None if classes is None else 1 / _positive(result, "classes"),
        attacks=tuple(
            _as_object(each, f"attacks[{number}]") for number, each in enumerate(result.get("attacks") or ())
        ),
        recipe=_object(result, "recipe"),
        seeds=_object(result, "seeds"),
        versions=_object(result, "versions"),
        standard=_net(_object(result, "standard"), "standard", clean="clean"),
        robust=_net(_object(result, "robust"), "robust", clean="clean"),
        perturbed={name: _perturbed(made, name) for name in ("d_rand", "d_det")},
        represented={
            name: _net(_object(made, name, "constructed."), f"constructed.{name}", clean="test")
            for name in ("d_r", "d_nr")
        },
        checks=tuple(_check(row, number) for number, row in enumerate(_list(result, "checks"))),
    )


def _perturbed(made: Row, name: str) -> PerturbedFound:
    row, at = _object(made, name, "constructed."), f"constructed.{name}."
    return PerturbedFound(
        test=_accuracy(row, "test", at),
        second_seed=_accuracy(row, "second_seed", at),
        noise_control=_accuracy(row, "noise_control", at),
        mislabel_control=_accuracy(row, "mislabel_control", at),
        shifted=_accuracy(row, "shifted", at),
        attack_success=_accuracy(row, "attack_success", at),
        mean_norm=_number(row, "mean_norm", at),
        noise_mean_norm=_number(row, "noise_mean_norm", at) if "noise_mean_norm" in row else None,
    )


def _net(row: Row, name: str, *, clean: str) -> NetFound:
    curve = []
    for number, point in enumerate(_list(row, "robust", f"{name}.")):
        at = f"{name}.robust[{number}]"
        curve.append(Point(_number(_as_object(point, at), "eps", f"{at}."), _as_accuracy(point, at)))
    return NetFound(_accuracy(row, clean, f"{name}."), tuple(curve))


def _check(row: object, number: int) -> CheckFound:
    at = f"checks[{number}]."
    row = _as_object(row, at)
    seen = _need(row, "seen", at)
    if not isinstance(seen, bool):
        raise _wrong(f"{at}seen", "true or false", seen)
    return CheckFound(str(_need(row, "claim", at)), seen, str(_need(row, "text", at)))


def _accuracy(row: Row, key: str, at: str) -> Accuracy:
    return _as_accuracy(_need(row, key, at), f"{at}{key}")


def _as_accuracy(value: object, at: str) -> Accuracy:
    row = _as_object(value, at)
    share, low, high = (_number(row, key, f"{at}.") for key in ("accuracy", "low", "high"))
    if not 0 <= low <= share <= high <= 1:
        raise _wrong(at, "0 <= low <= accuracy <= high <= 1", (low, share, high))
    return Accuracy(share, low, high, int(_number(row, "n", f"{at}.")))


def _need(row: Row, key: str, at: str = "") -> Any:
    if key not in row:
        raise ValueError(f"the result has no {at}{key}; give the whole object that `featlab demo --json` writes")
    return row[key]


def _object(row: Row, key: str, at: str = "") -> Row:
    return _as_object(_need(row, key, at), at + key)


def _as_object(value: object, at: str) -> Row:
    if not isinstance(value, Mapping):
        raise _wrong(at, "an object", value)
    return value


def _list(row: Row, key: str, at: str = "") -> Sequence[object]:
    value = _need(row, key, at)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _wrong(at + key, "a list", value)
    return value


def _number(row: Row, key: str, at: str = "") -> float:
    value = _need(row, key, at)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(at + key, "a number", value)
    return float(value)


def _positive(row: Row, key: str) -> float:
    value = _number(row, key)
    if not value > 0:
        raise _wrong(key, "above 0", value)
    return value


def _wrong(at: str, expected: str, came: object) -> ValueError:
    return ValueError(f"{at} of the result must be {expected}, got {came!r}; it is no result of `featlab demo`")
