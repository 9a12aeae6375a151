"""`featlab bug-or-feature`: do a net's perturbations fool other nets, and teach fresh ones real classes?"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from featlab.cli.experiments import Chosen, carried_out, choices

if TYPE_CHECKING:
    from featlab.central.bugs import Targets


@click.command("bug-or-feature")
@choices("featlab-bug-or-feature")
@click.option(
    "--targets",
    type=click.Choice(("next", "random")),
    default="next",
    show_default=True,
    help="Towards the class after each image's own (D_det), or towards any (D_rand).",
)
def bug_or_feature(*, chosen: Chosen, targets: str) -> None:
    """Are the perturbations of SOURCE bugs or features? Two numbers for each of two attacks.

    How often independently trained nets answer the target (transfer), and the accuracy on true test images of a fresh
    net that is trained on the perturbed images under the targets (learnability), beside noise of equal length and the
    new labels alone; for PGD and for an attack that other nets withstand (Nakkiran 2019). Without SOURCE a standard net
    is trained. The page is OUT/report.html; a run that was stopped goes on when the same command is given again.
    """
    from featlab.central.bugs import BugOrFeature
    from featlab.report.bugs import bugs_page, bugs_table

    carried_out(
        "bug-or-feature",
        chosen,
        lambda bench: BugOrFeature(bench, cast("Targets", targets)).run(),
        more={"targets": targets},
        page=bugs_page,
        table=bugs_table,
    )
