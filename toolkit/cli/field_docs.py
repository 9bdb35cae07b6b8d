"""What a configuration says about its fields: read from its source, so that help and docs need no second text."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from typing import Any

__all__ = ["default_text", "field_docs", "first_sentence", "options_table"]


def field_docs(cls: type) -> dict[str, str]:
    """The string below each field of a dataclass, on one line, by the field's name."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    docs: dict[str, str] = {}
    for node, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            docs[ast.unparse(node.target)] = " ".join(str(after.value.value).split())
    return docs


def first_sentence(text: str) -> str:
    """What stands before the first full stop, with it."""
    head, stop, _ = text.partition(". ")
    return head + stop.strip() if stop else text


def default_text(value: Any) -> str:
    """A default as a user types it."""
    if isinstance(value, tuple):
        return ",".join(default_text(item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "estimated" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def options_table(*classes: type) -> str:
    """A Markdown table of the options that a user sets."""
    rows = ["| option | default | meaning |", "|---|---|---|"]
    for cls in classes:
        docs = field_docs(cls)
        fields = [field for field in dataclasses.fields(cls) if not field.metadata.get("settled")]
        rows += [f"| `{f.name}` | {default_text(f.default)} | {docs[f.name]} |" for f in fields]
    return "\n".join(rows)
