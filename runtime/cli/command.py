"""What every csflow command shares: errors as one line with an exit code, and commands that load when called.

Imports click and the error tree only, so that `--help` works on a machine without torch, OpenCV or an engine.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import click

from csflow.runtime.atomic import FULL, final_path
from csflow.runtime.errors import BackendUnavailable, BundleMissing, CSFlowError, SinkError
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.writable import writable

__all__ = [
    "BACKENDS",
    "Command",
    "Group",
    "Share",
    "backend_option",
    "bundle_option",
    "echo_json",
    "ending_signals",
    "pixels_option",
    "rate",
    "release_stdout",
    "require",
    "tell",
]

PATIENCE_S = 1.0
SENTENCE = 200
"""Characters of a command's first sentence that the list of commands shows."""
INTERRUPTED = 130
PATHS = (errno.EACCES, errno.EISDIR, errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS)
"""What a path is wrong by, and not the disk behind it."""
GROUP = "csflow.commands"
BACKENDS = (
    "One of auto, openvino[-fp32|-fp32+bf16|-bf16|-int8|-bf16+int8], tensorrt[-fp16|-fp32], "
    "tensorrt-rtx[-fp16|-fp32], triton:grpc://HOST:8001/MODEL, fake, torch, torch-fp16; "
    "options follow a question mark: 'openvino?threads=2'."
)
"""The help of every --backend; a test holds it against what can be opened."""


class _Guarded(click.Command):
    """Standard output that is full or knows few letters costs no traceback, not even for --help.

    As a program it ends with its own exit code whatever a camera, an engine or an output still does in its thread.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run as the whole program, which ends here."""
        try:
            return super().__call__(*args, **kwargs)
        except SystemExit as end:
            _leave_hanging_threads(end.code)
            raise

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program: see click."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            # --help and --version print before there is a command body.
            sys.exit(_tell(*_described(error)))


class Command(_Guarded):
    """A command whose csflow and file-system errors end in one line and an exit code, not in a traceback."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        """As click's, with lines for its help that can be typed as they stand."""
        super().__init__(*args, **kwargs)
        self._examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, each on a line of its own, then the epilog."""
        if self._examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in self._examples))
        super().format_epilog(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command body."""
        try:
            return super().invoke(ctx)
        except BundleMissing as error:
            _end(f"{error}{_naming(ctx, error.path)}", error.exit_code)
        except CSFlowError as error:
            _end(str(error), error.exit_code)
        except OSError as error:
            # A closed pipe (`csflow ... | head`) is click's to end quietly.
            if error.errno in (None, errno.EPIPE):
                raise
            _end(*_described(error))
        except KeyboardInterrupt:
            _end("interrupted", INTERRUPTED)


class Group(_Guarded, click.Group):
    """A group whose commands are named as 'module:attribute' and imported when they are used or listed.

    Packages above register theirs as entry points of the group 'csflow.commands'.
    """

    def __init__(self, *args: Any, lazy: dict[str, str], order: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy, self._order = lazy, order

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All command names: those of `order`, then the others by the alphabet."""
        names = {*self._lazy, *self._above()}
        return [name for name in self._order if name in names] + sorted(names.difference(self._order))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import one command."""
        # Entry points are searched last: listing what is installed takes longer than a command of this package.
        home = self._lazy.get(cmd_name) or self._above().get(cmd_name)
        if home is None:
            return None
        module, attribute = home.split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A line or two a command: its whole first sentence, which click would cut."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, c.get_short_help_str(SENTENCE)) for name, c in commands if c is not None])

    def _above(self) -> dict[str, str]:
        return {point.name: point.value for point in entry_points(group=GROUP)}


class Share(click.ParamType):  # type: ignore[type-arg]
    """A share, written as 1%, 1 % or 0.01, from `least` to `most`; these two themselves unless `between`."""

    name = "share"

    def __init__(self, least: float, most: float, between: bool = False) -> None:
        self.least, self.most, self.between = least, most, between

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """In 0..1, or a usage error."""
        text = str(value).strip()
        number, scale = (text[:-1], 100.0) if text.endswith("%") else (text, 1.0)
        try:
            share = float(number) / scale
        except ValueError:
            self.fail(f"{value!r} is no share: write 1 % as 1% or 0.01.", param, ctx)
        inside = self.least < share < self.most if self.between else self.least <= share <= self.most
        if not inside:
            ends = " and ".join(f"{100 * end:g}%" for end in (self.least, self.most))
            self.fail(f"{value!r} does not lie between {ends}: write 1 % as 1% or 0.01.", param, ctx)
        return share


rate = Share(0.0, 1.0, between=True)
"""What is promised of good parts, or how surely: neither never nor always."""


def backend_option(default: str | None, text: str = "") -> Callable[[Any], Any]:
    """The --backend option, alike wherever it stands; the body receives `backend`, or a tuple of them.

    Args:
        default: a name; None for an option that may be repeated and has none.
        text: what this command adds to the help.
    """
    again: dict[str, Any] = {"multiple": True} if default is None else {"default": default, "show_default": True}
    return click.option("--backend", metavar="NAME", help=f"{text}{BACKENDS}", **again)


def bundle_option(function: Any) -> Any:
    """The --bundle option; the body receives `bundle` as a path string, the default where none was given."""
    return click.option(
        "--bundle",
        envvar="CSFLOW_BUNDLE",
        default="model.csflow",
        show_default=True,
        metavar="DIR",
        help="The bundle; also taken from CSFLOW_BUNDLE.",
    )(function)


def ending_signals() -> tuple[int, ...]:
    """Signals that ask for an orderly end: Ctrl-C, SIGTERM, and SIGHUP of a terminal that is gone unless nohup holds it
    off: a process that just died would leave its outputs as they are."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hangs_up else ()))


def echo_json(value: Any) -> None:
    """Print one JSON object on one line to standard output."""
    from csflow.runtime.schema import json_line

    click.echo(json_line(value))


def pixels_option(function: Any) -> Any:
    """The --max-megapixels option of commands that read pictures; the body does not receive it."""

    def set_limit(_context: click.Context, _parameter: click.Parameter, value: int | None) -> None:
        if value is not None:
            # The environment, so that it holds in worker processes too.
            os.environ["CSFLOW_MAX_MEGAPIXELS"] = str(value)

    return click.option(
        "--max-megapixels",
        type=click.IntRange(1, 4000),
        callback=set_limit,
        expose_value=False,
        metavar="N",
        help="Most pixels a picture may have, in millions; also CSFLOW_MAX_MEGAPIXELS. [default: 268]",
    )(function)


def require(extra: str, *modules: str) -> None:
    """Whether libraries that a command needs are installed. Raises BackendUnavailable, which names the extra."""
    if missing := [name for name in modules if find_spec(name) is None]:
        raise BackendUnavailable(f"this command needs {', '.join(missing)}: {pip_install(extra)}")


def tell(text: str) -> None:
    """Print to standard error, where anybody reads it."""
    if writable(sys.stderr, PATIENCE_S):
        with contextlib.suppress(OSError):
            click.echo(text, err=True)


def release_stdout() -> None:
    """Let go of standard output where it cannot be written: what its buffer holds must not fail again at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave_hanging_threads(code: object) -> None:
    """End at once where a thread hangs: inside OpenCV or OpenVINO it would abort the interpreter that waits for it."""
    others = (thread for thread in threading.enumerate() if thread is not threading.current_thread())
    if not any(thread.name.startswith("csflow-") for thread in others):
        return
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and writable(stream, 0.0):
            with contextlib.suppress(OSError):
                stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _naming(ctx: click.Context, path: Path) -> str:
    """How this command was told the path: by an option and its variable, or as an argument; empty where by neither."""
    for param in ctx.command.params:
        value = ctx.params.get(param.name or "")
        if path not in [Path(v) for v in (value if isinstance(value, tuple) else [value]) if isinstance(v, str | Path)]:
            continue
        if isinstance(param, click.Argument):
            return f" as {param.human_readable_name}"
        return f" with {param.opts[0]}" + (f" or {param.envvar}" if param.envvar else "")
    return ""


def _described(error: OSError) -> tuple[str, int]:
    target = final_path(os.fsdecode(error.filename)) if error.filename else "the output"
    if error.errno in FULL:
        return f"disk full while writing {target}: free space, then start again", SinkError.exit_code
    advice = "; correct the path or its permissions" if error.errno in PATHS else ""
    return f"{error.strerror or error}: {target}{advice}", SinkError.exit_code if error.errno == errno.EROFS else 1


def _end(message: str, code: int) -> NoReturn:
    raise click.exceptions.Exit(_tell(message, code)) from None


def _tell(message: str, code: int) -> int:
    release_stdout()
    tell("Error: " + " ".join(message.split()))
    return code
