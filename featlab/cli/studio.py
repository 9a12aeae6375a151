"""`featlab studio`: paint with a classifier's features, in the browser."""

from __future__ import annotations

import click

from featlab.cli import options

DEFAULT_MODELS = ("zoo:fashion-robust", "zoo:fashion-standard")
"""A robust and a standard net of one architecture, to be compared side by side."""


@click.command()
@click.option(
    "--model",
    "models",
    multiple=True,
    default=DEFAULT_MODELS,
    show_default=True,
    help="A model to paint with; may be repeated.",
)
@click.option("--data", help="Samples to paint on: a data set, see `featlab data list`; by default the embedded one.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one.")
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@options.DEVICE
def studio(*, models: tuple[str, ...], data: str | None, port: int, no_browser: bool, device: str) -> None:
    """Serve a page on this machine, on which one paints with what a classifier knows.

    The address that is printed holds a token, without which nothing is answered. Ctrl-C ends it.
    """
    try:
        from featlab.studio import Catalog, listening, serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "websockets"):
            raise
        raise click.ClickException(f"the studio needs {error.name}; pip install 'featlab[studio]'") from error

    def ready(url: str) -> None:
        click.echo(f"featlab studio: {url}\nCtrl-C ends it.")
        if not no_browser:
            click.launch(url)

    at = listening(port)
    try:
        serve(Catalog.load(models, data=data, device=device), at, ready=ready)
    except KeyboardInterrupt:
        click.echo("")
