"""What the commands share: options, mistakes of a user, and documents."""

from __future__ import annotations

import json as json_text
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


def listed(read: Callable[[str], Any]) -> Callable[..., list[Any] | None]:
    """A callback for an option that is a list with commas; `read` may raise ValueError."""

    def split(_: click.Context, __: click.Parameter, value: str | None) -> list[Any] | None:
        if value is None:
            return None
        items = dict.fromkeys(item.strip() for item in value.split(",") if item.strip())
        if not items:
            raise click.BadParameter("name at least one")
        try:
            return [read(item) for item in items]
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return split


def writable(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """A callback for an option that names a file to write."""
    if path is not None:
        need_writable(path)
    return path


def need_writable(path: Path, option: str | None = None) -> None:
    """That a file cannot be written had better not turn up after an hour."""
    folder = path.resolve().parent
    if not folder.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}", param_hint=option)
    if not path.exists() and not os.access(folder, os.W_OK):
        raise click.BadParameter(
            f"the folder {folder} cannot be written to; name another file", param_hint=option
        )


@contextmanager
def told(*mistakes: type[Exception], usage: bool = False) -> Iterator[None]:
    """Turn a user's mistakes into a message and an exit code; whatever else fails is a bug."""
    try:
        yield
    except mistakes as error:
        if usage:
            raise click.UsageError(str(error)) from error
        raise click.ClickException(str(error)) from error


def print_json(document: dict[str, Any]) -> None:
    """Print a document to stdout."""
    click.echo(json_text.dumps(document, indent=2))
