"""`featlab leakage`: how much of what D_rand and D_det teach do robust features alone explain?"""

from __future__ import annotations

import click

from featlab.cli.experiments import Chosen, carried_out, choices, fitting


@click.command()
@choices("featlab-leakage")
@click.option("--robust", metavar="MODEL", help="The robust net whose units are judged; by default one is trained.")
def leakage(*, chosen: Chosen, robust: str | None) -> None:
    """Say how far robust features alone leak into D_rand and D_det of SOURCE.

    Linear probes that see only robust features (those of a linear net, provably; the robust units of a robust net) are
    trained on D_rand and D_det and judged on true test images, beside noise of equal length in place of the
    perturbations (Goh 2019). Without SOURCE a standard net is trained. The page is OUT/report.html; a run that was
    stopped goes on when the same command is given again.
    """
    from featlab import models
    from featlab.central.leakage import Leakage
    from featlab.report.leakage import leakage_page, leakage_table

    given = None if robust is None else models.load(robust, device=chosen.device)
    carried_out(
        "leakage",
        chosen,
        lambda bench: Leakage(bench, given if given is None else fitting(given, bench.train_data)).run(),
        more={"robust": "trained here" if given is None else [robust, given.hash()]},
        page=leakage_page,
        table=leakage_table,
    )
