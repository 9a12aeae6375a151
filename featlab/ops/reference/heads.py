"""The losses of logits: value, margin, whether the answer is right, and the derivative by each logit (the cotangent).

All in float64, whatever the logits are. A row with a NaN or +infinity among its logits gives NaN throughout. Among
equal logits the one of the lowest index counts as the larger.
"""

import torch
from torch import Tensor


def cross_entropy_head(
    logits: Tensor, labels: Tensor, value: Tensor, margin: Tensor, correct: Tensor, cotangent: Tensor
) -> None:
    """Write log(1 + exp(ratio)) with ratio = log((1 - p_y) / p_y), and softmax(z) - e_y."""
    ratio, softmax, own = _odds(logits, labels)
    wrong = torch.sigmoid(ratio)
    loss = torch.logaddexp(ratio, torch.zeros_like(ratio))
    _write(logits, labels, loss, wrong[:, None] * (softmax - own), (value, margin, correct, cotangent))


def log_ratio_head(
    logits: Tensor, labels: Tensor, value: Tensor, margin: Tensor, correct: Tensor, cotangent: Tensor
) -> None:
    """Write ratio = log sum_{j != y} exp z_j - z_y, and the softmax over the other classes minus e_y."""
    ratio, softmax, own = _odds(logits, labels)
    _write(logits, labels, ratio, softmax - own, (value, margin, correct, cotangent))


def margin_head(
    logits: Tensor, labels: Tensor, value: Tensor, margin: Tensor, correct: Tensor, cotangent: Tensor
) -> None:
    """Write max_{j != y} z_j - z_y, and e_argmax - e_y."""
    found, at = _margin(logits, labels)
    _write(logits, labels, found, _one_hot(at, logits) - _one_hot(labels, logits), (value, margin, correct, cotangent))


def dlr_head(logits: Tensor, labels: Tensor, value: Tensor, margin: Tensor, correct: Tensor, cotangent: Tensor) -> None:
    """Write margin / (z_(1) - z_(3)), the divisor held at 1e-12 where it is less, and its derivative."""
    above, at = _margin(logits, labels)
    loss, slope = _ratio(logits, above, _one_hot(at, logits) - _one_hot(labels, logits), {0: 1.0, 2: -1.0})
    _write(logits, labels, loss, slope, (value, margin, correct, cotangent))


def dlr_targeted_head(
    logits: Tensor,
    labels: Tensor,
    targets: Tensor,
    value: Tensor,
    margin: Tensor,
    correct: Tensor,
    cotangent: Tensor,
) -> None:
    """Write (z_t - z_y) / (z_(1) - (z_(3) + z_(4)) / 2), the divisor held at 1e-12 where it is less; its derivative."""
    z = logits.double()
    above = (z.gather(1, targets[:, None]) - z.gather(1, labels[:, None]))[:, 0]
    up = _one_hot(targets, logits) - _one_hot(labels, logits)
    loss, slope = _ratio(logits, above, up, {0: 1.0, 2: -0.5, 3: -0.5})
    _write(logits, labels, loss, slope, (value, margin, correct, cotangent))


def _margin(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest logit but the label's minus that of the label, and the class of the former."""
    z, own = logits.double(), _one_hot(labels, logits)
    largest, at = z.masked_fill(own > 0, -torch.inf).max(dim=1)
    return largest - z.gather(1, labels[:, None])[:, 0], at


def _odds(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log((1 - p_y) / p_y), the softmax over the classes but the label, and the label as a unit vector."""
    z, own = logits.double(), _one_hot(labels, logits)
    others = z.masked_fill(own > 0, -torch.inf)
    total = others.logsumexp(dim=1)
    softmax = torch.where(torch.isneginf(total)[:, None], 0.0, (others - total[:, None]).exp())
    return total - z.gather(1, labels[:, None])[:, 0], softmax, own


def _ratio(logits: Tensor, above: Tensor, up: Tensor, weights: dict[int, float]) -> tuple[Tensor, Tensor]:
    """Return above / d and its derivative, where that of `above` is `up` and d is a weighted sum of places in order."""
    values, classes = logits.double().sort(dim=1, descending=True, stable=True)
    divisor = torch.stack([weight * values[:, place] for place, weight in weights.items()]).sum(dim=0)
    slope = torch.stack([weight * _one_hot(classes[:, place], logits) for place, weight in weights.items()]).sum(dim=0)
    held = divisor < 1e-12
    scale = 1 / torch.where(held, 1e-12, divisor)
    pull = torch.where(held, 0.0, above * scale * scale)
    return above * scale, _times(scale, up) - _times(pull, slope)


def _times(factor: Tensor, slope: Tensor) -> Tensor:
    """Return the product; what is 0 stays so, whatever the factor."""
    return torch.where(slope == 0, 0.0, factor[:, None] * slope)


def _write(
    logits: Tensor, labels: Tensor, loss: Tensor, slope: Tensor, out: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    value, margin, correct, cotangent = out
    broken = ~(logits <= torch.finfo(logits.dtype).max).all(dim=1)
    value.copy_(torch.where(broken, torch.nan, loss))
    margin.copy_(torch.where(broken, torch.nan, _margin(logits, labels)[0]))
    correct.copy_(logits.argmax(dim=1) == labels)
    cotangent.copy_(torch.where(broken[:, None], torch.nan, slope))


def _one_hot(index: Tensor, logits: Tensor) -> Tensor:
    return torch.zeros_like(logits, dtype=torch.float64).scatter(1, index[:, None], 1.0)
