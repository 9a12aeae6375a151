"""`featlab transfer`: does what an architecture learns from perturbations go with how far attacks transfer to it?"""

from __future__ import annotations

import click

from featlab.cli.experiments import Chosen, carried_out, choices


@click.command()
@choices("featlab-transfer")
def transfer(*, chosen: Chosen) -> None:
    """Compare what architectures learn from the perturbations of SOURCE with how well its attacks transfer to them.

    Figure 3 of Ilyas et al. 2019: each architecture of the recipe is trained on D_det of SOURCE and judged on true test
    images, and another net of it is attacked with SOURCE's adversarial examples; Spearman's rho says whether the two go
    together here. Without SOURCE a standard net is trained. The page is OUT/report.html; a run that was stopped goes on
    when the same command is given again.
    """
    from featlab.central.transfer import Architectures
    from featlab.report.transfer import transfer_page, transfer_table

    carried_out(
        "transfer",
        chosen,
        lambda bench: Architectures(bench).run(),
        more={},
        page=transfer_page,
        table=transfer_table,
    )
