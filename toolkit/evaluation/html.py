"""HTML pages from the templates of the packages: one file each, no network needed to read them."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.machine.install import pip_install
from csflow.runtime.machine.names import shown

__all__ = ["render_page"]


def render_page(package: str, template: str, **values: Any) -> str:
    """The page that a Jinja2 template inside `package` makes of `values`; text in them is escaped, and file names are
    written as `machine.names.shown` does.

    Raises BackendUnavailable where Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise BackendUnavailable(f"the page needs Jinja2 ({error}): {pip_install('train')}") from None
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files(package).joinpath(template).read_text(encoding="utf-8")
    return shown(environment.from_string(source).render(**values))
