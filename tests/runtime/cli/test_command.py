"""A command ends in one line and its exit code, never in a traceback, for every error on purpose."""

from __future__ import annotations

import errno
import inspect
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from csflow.runtime import errors
from csflow.runtime.cli.command import BACKENDS, Command, Group, Share, bundle_option, rate
from csflow.runtime.cli.main import main
from csflow.runtime.engines.opening import engine_names

ERRORS = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.CSFlowError)]


def made(kind: type[errors.CSFlowError], message: str) -> errors.CSFlowError:
    """An error of this kind, whatever further arguments it takes."""
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    return error


def run(error: BaseException) -> Result:
    @click.command(cls=Command)
    def body() -> None:
        raise error

    return CliRunner().invoke(body)


@pytest.mark.parametrize("kind", ERRORS)
def test_each_error_is_one_line_and_its_exit_code(kind: type[errors.CSFlowError]) -> None:
    done = run(made(kind, "no part:\n  name another"))
    assert done.stderr == "Error: no part: name another\n"
    assert done.exit_code == kind.exit_code
    assert done.stdout == ""


def test_file_system_errors_name_the_file() -> None:
    advice = "; correct the path or its permissions"
    for name in ("/x/y", "/x/.y.43fd9e2e.tmp", "/x/..y.staged.43fd9e2e.tmp"):
        done = run(OSError(errno.EACCES, "Permission denied", name))
        assert (done.stderr, done.exit_code) == (f"Error: Permission denied: /x/y{advice}\n", 1)
    done = run(OSError(errno.EROFS, "Read-only file system", "/x/y"))
    assert (done.stderr, done.exit_code) == (f"Error: Read-only file system: /x/y{advice}\n", 7)
    done = run(OSError(errno.EIO, "Input/output error", "/x/y"))
    assert (done.stderr, done.exit_code) == ("Error: Input/output error: /x/y\n", 1)


def test_ctrl_c() -> None:
    assert run(KeyboardInterrupt()).exit_code == 130


def test_an_unexpected_error_is_not_hidden() -> None:
    assert isinstance(run(ZeroDivisionError()).exception, ZeroDivisionError)


def test_a_closed_pipe_ends_quietly() -> None:
    code = "from csflow.runtime.cli.main import main\nimport click\nfrom csflow.runtime.cli.command import Command\n"
    code += "f = click.command(cls=Command)(lambda: [click.echo('x' * 99999) for _ in range(99)])\nf()"
    done = subprocess.run(
        f'"{sys.executable}" -c "$CODE" | head -c 1',
        shell=True,
        env={"CODE": code},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("x", "")


def test_a_group_imports_only_the_command_that_is_used() -> None:
    group = Group("g", lazy={"good": "csflow.runtime.cli.main:main", "absent": "csflow.no_such:x"})
    assert CliRunner().invoke(group, ["good", "--help"]).exit_code == 0
    assert CliRunner().invoke(group, ["other"]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ([], {}, "model.csflow"),
        ([], {"CSFLOW_BUNDLE": "env"}, "env"),
        (["--bundle", "flag"], {"CSFLOW_BUNDLE": "env"}, "flag"),
    ],
)
def test_bundle_option(arguments: list[str], environment: dict[str, str], expected: str) -> None:
    @click.command(cls=Command)
    @bundle_option
    def show(bundle: str) -> None:
        click.echo(bundle)

    env = {"CSFLOW_BUNDLE": None, **environment}
    assert CliRunner().invoke(show, arguments, env=env).stdout == f"{expected}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_a_full_standard_output_is_one_line_even_for_help(arguments: list[str]) -> None:
    code = "from csflow.runtime.cli.main import main; main()"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 7
    assert done.stderr == "Error: disk full while writing the output: free space, then start again\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_standard_output_ends_a_command_with_7() -> None:
    code = "import click; from csflow.runtime.cli.command import Command\n"
    code += "click.command(cls=Command)(lambda: click.echo('x'))()"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (7, 1)


def test_letters_that_standard_output_lacks_are_escaped_in_every_command() -> None:
    @click.command(cls=Command)
    def show() -> None:
        click.echo("\u2264")

    assert CliRunner(charset="latin-1").invoke(show).stdout == "\\u2264\n"


def test_the_help_of_every_backend_option_lists_what_can_be_opened() -> None:
    listed = BACKENDS.removeprefix("One of ").partition(";")[0].split(", ")
    names = []
    for text in listed:
        name, _, precisions = text.partition("[")
        names += [name, *(name + p for p in precisions.rstrip("]").split("|") if p)]
    assert names == engine_names()


@pytest.mark.parametrize(
    ("text", "share"), [("1%", 0.01), ("1 %", 0.01), ("0.01", 0.01), (" 99.9% ", 0.999), ("1e-3", 0.001)]
)
def test_shares_are_read_as_people_write_them(text: str, share: float) -> None:
    assert rate(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["1", "0", "5", "100%", "-1%", "nan", "nan%", "one", "%", "", "0,5%"])
def test_a_wrong_share_is_a_usage_error_that_shows_how(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"write 1 % as 1% or 0\.01"):
        rate(text)


def test_the_ends_of_a_share_belong_to_it_unless_it_lies_between_them() -> None:
    half = Share(0, 0.5)
    assert (half("0"), half("50%"), half(0.5)) == (0.0, 0.5, 0.5)
    with pytest.raises(click.BadParameter, match="'51%' does not lie between 0% and 50%"):
        half("51%")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["calibrate", "parts", "--bundle", "x/"], "name another with --bundle or CSFLOW_BUNDLE"),
        (["pack", "x"], "name another as BUNDLE"),
        (["adapt", "x", "parts", "--bundle", "y"], "name another as BUNDLE"),
        (["combine", "x", "z", "--bundle", "y"], "name another as BUNDLES"),
    ],
)
def test_a_bundle_that_is_not_there_is_told_with_the_word_that_names_it(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    done = CliRunner().invoke(main, words)
    assert done.stderr.rstrip().endswith(told)


def test_a_bundle_that_no_option_named_is_told_without_one() -> None:
    assert run(errors.BundleMissing(Path("x"))).stderr.endswith("csflow train', or name another\n")
