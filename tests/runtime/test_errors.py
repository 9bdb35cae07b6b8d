"""The error tree printed in the docstring is the tree of the code, with its exit codes."""

from __future__ import annotations

import inspect
import re

from csflow.runtime import errors


def printed_tree() -> dict[str, tuple[str, int]]:
    """Error name: (parent, exit code), as the docstring draws them."""
    tree: dict[str, tuple[str, int]] = {}
    path = ["CSFlowError"]
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ([│ ]*)[├└]── (\w+) +(\d+) ", line):
            depth = len(match[1]) // 4 + 1
            path[depth:] = [match[2]]
            tree[match[2]] = (path[depth - 1], int(match[3]))
    return tree


def test_the_docstring_draws_the_whole_tree() -> None:
    classes = {n: c for n, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, errors.CSFlowError)}
    actual = {n: (c.__mro__[1].__name__, c.exit_code) for n, c in classes.items() if n != "CSFlowError"}
    assert printed_tree() == actual


def test_the_end_of_a_stream_is_no_error() -> None:
    assert not issubclass(errors.EndOfStream, errors.CSFlowError)
