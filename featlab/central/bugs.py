"""Bug or feature: do a net's perturbations fool other nets, and does a fresh net learn real classes from them?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from featlab.audit.differences import estimate, less
from featlab.central.perturbations import Bench, Row, share_of, timed
from featlab.datasets.construct import lengths_of
from featlab.datasets.dataset import Dataset
from featlab.evaluation import Accuracy
from featlab.intervals import Estimate
from featlab.models import Classifier
from featlab.types import Labels

Targets = Literal["next", "random"]
PGD, BUGS = "pgd", "non_transferable"


@dataclass(frozen=True, eq=False)
class BugOrFeature:
    """The experiment: PGD, and an attack that other nets withstand, each measured by transfer and by learnability.

    `targets` "next" is the class after each image's own (D_det), "random" any (D_rand).
    Source: Ilyas et al. 2019, section 3.2; Nakkiran 2019 ("Adversarial examples are just bugs, too").
    """

    bench: Bench
    targets: Targets = "next"

    def run(self) -> Row:
        """Return the index of both attacks, as plain values."""
        begun, bench = time.monotonic(), self.bench
        source = bench.source()
        peers = [bench.net(f"peer_{number}", bench.train_data, seed=10 + number) for number in range(self._peers)]
        bystanders = [
            bench.net(f"bystander_{number}", bench.train_data, seed=30 + number)
            for number in range(bench.recipe.bystanders)
        ]
        attacks = [self._attack(name, source, peers, others) for name, others in ((PGD, []), (BUGS, bystanders))]
        return {
            "targets": self.targets,
            "source_accuracy": share_of(bench.right(source)).record(),
            "peer_accuracy": share_of([bench.right(peer) for peer in peers]).record(),
            "attacks": attacks,
            "seconds": timed(begun),
        }

    @property
    def _peers(self) -> int:
        return self.bench.recipe.peers

    def _wanted(self, data: Dataset) -> Labels:
        return self.bench.next(data) if self.targets == "next" else self.bench.random(data)

    def _attack(self, name: str, source: Classifier, peers: Sequence[Classifier], others: Sequence[Classifier]) -> Row:
        """Return both numbers of one attack, beside their controls, and what they say."""
        moved = self._transferred(name, source, peers, others)
        learned, mean_norm = self._learned(name, source, others)
        by_transfer = _excess(moved["transfer"], [moved["transfer_noise"], moved["transfer_clean"]])
        by_learning = _excess(learned["test"], [learned["noise_control"], learned["mislabel_control"]])
        return {
            "attack": name,
            **{key: found.record() for key, found in {**moved, **learned}.items()},
            "mean_norm": mean_norm,
            "transfer_index": asdict(by_transfer),
            "learning_index": asdict(by_learning),
            "verdict": verdict(by_transfer, by_learning),
        }

    def _transferred(
        self, name: str, source: Classifier, peers: Sequence[Classifier], others: Sequence[Classifier]
    ) -> dict[str, Accuracy]:
        """Return how often the source and its peers answer the target, and are fooled, on perturbed test images."""
        bench, data = self.bench, self.bench.test_data
        targets = self._wanted(data)
        away = targets != data.labels  # A random target may be the image's own class, which is no success.
        moved = bench.perturbed(f"{name}_test", source, data, targets, others=others)
        noise = bench.noised(f"{name}_test_noise", moved, data)
        on_moved, on_noise, on_clean = ([bench.answers(peer, each) for peer in peers] for each in (moved, noise, data))
        found = {
            "reached": share_of((bench.answers(source, moved) == targets)[away]),
            "transfer": share_of([(each == targets)[away] for each in on_moved]),
            "transfer_noise": share_of([(each == targets)[away] for each in on_noise]),
            "transfer_clean": share_of([(each == targets)[away] for each in on_clean]),
            "fooled": share_of([each != data.labels for each in on_moved]),
            "fooled_noise": share_of([each != data.labels for each in on_noise]),
        }
        if others:
            on_others = [bench.answers(other, moved) for other in others]
            found["bystanders"] = share_of([(each == targets)[away] for each in on_others])
        return found

    def _learned(
        self, name: str, source: Classifier, others: Sequence[Classifier]
    ) -> tuple[dict[str, Accuracy], float]:
        """Return what fresh nets learn from the perturbed training images and from the controls, on true test images.

        And the mean length of these perturbations. Both attacks have the same targets, so the control of labels alone
        is one for both.
        """
        bench, data = self.bench, self.bench.train_data
        built = bench.perturbed(name, source, data, self._wanted(data), others=others)
        noise, bare = bench.noised(f"{name}_noise", built, data), bench.relabelled("mislabels", built, data)
        own = {PGD: 50, BUGS: 60}[name]
        student = bench.student(f"on_{name}", built, seed=own)
        answers = bench.answers(student, bench.test_data)
        found = {
            "test": share_of(answers == bench.test_data.labels),
            "shifted": share_of(answers == bench.next(bench.test_data)),
            "noise_control": share_of(bench.right(bench.student(f"on_{name}_noise", noise, seed=own + 1))),
            "mislabel_control": share_of(bench.right(bench.student("on_mislabels", bare, seed=70))),
        }
        return found, float(lengths_of(built, data).mean())


def _excess(found: Accuracy, controls: Sequence[Accuracy]) -> Estimate:
    """Return how much more there is than in the strongest control; its interval takes both as independent."""
    return less(estimate(found), estimate(max(controls, key=lambda each: each.accuracy)))


def verdict(transfer: Estimate, learning: Estimate) -> str:
    """Return what the two numbers say: "features" where both exceed their controls clearly, "bugs" where neither."""
    clear = (transfer.low > 0, learning.low > 0)
    return "features" if all(clear) else "between" if any(clear) else "bugs"
