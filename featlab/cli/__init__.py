"""The command line: one file per command, imported when the command is run."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

import click

from featlab.names import lookup

COMMANDS = {
    "add-feature": ("featlab.cli.tasks:add-feature", "The same image with one more feature in it."),
    "attack": ("featlab.cli.attack:attack", "Write the adversarial images of a model."),
    "audit": ("featlab.cli.audit:audit", "Which features a model uses, and how robust they are."),
    "bug-or-feature": ("featlab.cli.bugs:bug_or_feature", "Do perturbations transfer, and teach real classes?"),
    "certify": ("featlab.cli.certify:certify", "Certified accuracy of a model under random noise."),
    "compare-sets": ("featlab.cli.compare:compare_sets", "Models against threat models: which set is the right one?"),
    "data": ("featlab.cli.data:data", "Data sets, their mirrors and checksums."),
    "dataset": ("featlab.cli.dataset:dataset", "Build, check, import and export constructed data sets."),
    "demo": ("featlab.cli.demo:demo", "Run the central experiment on real images."),
    "doctor": ("featlab.cli.doctor:doctor", "Say what is built, what runs native, and why not."),
    "evaluate": ("featlab.cli.evaluate:evaluate", "Accuracy of a model, clean and under attack."),
    "generate": ("featlab.cli.tasks:generate", "New images of a class."),
    "inpaint": ("featlab.cli.tasks:inpaint", "What stood in a hole?"),
    "interpolate": ("featlab.cli.tasks:interpolate", "Images between two, through a layer."),
    "invert": ("featlab.cli.tasks:invert", "An image with the representation of another."),
    "layers": ("featlab.cli.models:layers", "The layers of a model, with their shapes."),
    "leakage": ("featlab.cli.leakage:leakage", "What robust features alone leak into D_rand and D_det."),
    "models": ("featlab.cli.models:models", "Shipped nets and known architectures."),
    "plugin": ("featlab.cli.plugin:plugin", "Begin a plugin of your own; check one that is installed."),
    "plugins": ("featlab.cli.plugins:plugins", "What the installed plugins provide."),
    "release": ("featlab.cli.release:release", "Write a net to ship, with its accuracies in its card."),
    "restore": ("featlab.cli.tasks:restore", "Take noise or blur out of images."),
    "sketch": ("featlab.cli.tasks:sketch", "From a sketch to an image."),
    "stylize": ("featlab.cli.tasks:stylize", "One picture's content in another's style."),
    "superres": ("featlab.cli.tasks:superres", "Larger images, two to eight times."),
    "task": ("featlab.cli.tasks:task", "Run any task, a plugin's too."),
    "theory": ("featlab.cli.theory:theory", "Check the theorems on robust features against numbers."),
    "train": ("featlab.cli.train:train", "Train a standard or robust net."),
    "transfer": ("featlab.cli.transfer:transfer", "How attacks transfer, against what nets learn from D_det."),
    "translate": ("featlab.cli.tasks:translate", "The same picture as another class."),
    "visualize": ("featlab.cli.tasks:visualize", "What a unit responds to."),
}
"""Every command: where it is, and its line of help, so that `featlab --help` need not import it."""


class Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported."""
        try:
            path, _ = lookup("a command", cmd_name, COMMANDS)
        except ValueError as error:
            raise click.UsageError(str(error), ctx=ctx) from error
        module, _, name = path.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands from their lines of help."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        from featlab import __version__

        click.echo(f"featlab {__version__}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=version, help="Print the version.")
def group() -> None:
    """Ask which features a classifier uses, which of them are robust, and what can be done with them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what the user can mend is one sentence on stderr and exit status 2."""
    warnings.showwarning = _warn
    try:
        given = None if arguments is None else list(arguments)
        status = group.main(args=given, prog_name="featlab", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        _leave("interrupted; the same command goes on where it can", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        _leave(_sentence(error), 2)
    except (ValueError, OSError) as error:
        _leave(str(error) or type(error).__name__, 2)
    sys.exit(status if isinstance(status, int) else 0)


def _sentence(error: click.ClickException) -> str:
    """Return what is wrong with the arguments, and where to read about them."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return error.format_message() + (f" (see {ctx.command_path} --help)" if ctx is not None else "")


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Write a warning as a line, without the place in the code, which says nothing to the user of a command."""
    del category, filename, lineno, file, line
    click.echo(f"warning: {message}", err=True)


def _leave(sentence: str, status: int) -> None:
    click.echo(f"featlab: {' '.join(sentence.split())}", err=True)
    sys.exit(status)
