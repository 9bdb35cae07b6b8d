"""What every csflow command shares: errors as one line with an exit code, and commands that load when called.

Imports click and the error tree only, so that `--help` works on a machine without torch, OpenCV or an engine.
"""

from __future__ import annotations

import errno
import importlib
from typing import Any, NoReturn

import click

from csflow.runtime.errors import CSFlowError

__all__ = ["Command", "Group", "bundle_option"]

INTERRUPTED = 130


class Command(click.Command):
    """A command whose csflow and file-system errors end in one line and an exit code, not in a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command body."""
        try:
            return super().invoke(ctx)
        except CSFlowError as error:
            _end(str(error), error.exit_code)
        except OSError as error:
            # A closed pipe (`csflow ... | head`) is click's to end quietly.
            if error.errno in (None, errno.EPIPE):
                raise
            _end(f"{error.strerror}: {error.filename or 'output'}", 1)
        except KeyboardInterrupt:
            _end("interrupted", INTERRUPTED)


class Group(click.Group):
    """A group whose commands are named as 'module:attribute' and imported when they are used or listed."""

    def __init__(self, *args: Any, lazy: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All command names, in the order of the work."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import one command."""
        if cmd_name not in self._lazy:
            return None
        module, attribute = self._lazy[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


def bundle_option(function: Any) -> Any:
    """The --bundle option; the body receives `bundle` as a path string or None for the default."""
    return click.option(
        "--bundle",
        envvar="CSFLOW_BUNDLE",
        default="model.csflow",
        show_default=True,
        metavar="DIR",
        help="The bundle; also taken from CSFLOW_BUNDLE.",
    )(function)


def _end(message: str, code: int) -> NoReturn:
    click.echo("Error: " + " ".join(message.split()), err=True)
    raise click.exceptions.Exit(code) from None
