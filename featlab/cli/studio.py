"""`featlab studio`: paint with a classifier's features, in the browser."""

from __future__ import annotations

import importlib.util
from contextlib import closing

import click

from featlab.cli import options

DEFAULT_MODELS = ("zoo:fashion-robust", "zoo:fashion-standard")
"""A robust and a standard net of one architecture, to be compared side by side."""

NEEDED = ("starlette", "uvicorn", "websockets")
"""What featlab[studio] installs."""


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
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(f"the studio needs {' and '.join(missing)}; pip install 'featlab[studio]'")
    from featlab.studio import Catalog, listening, serve

    def ready(url: str) -> None:
        click.echo(f"featlab studio: {url}\nCtrl-C ends it.")
        if not no_browser:
            click.launch(url)

    with closing(listening(port)) as at:  # First: a port that is taken is known before models are loaded.
        try:
            serve(Catalog.load(models, data=data, device=device), at, ready=ready)
        except KeyboardInterrupt:
            click.echo("")
