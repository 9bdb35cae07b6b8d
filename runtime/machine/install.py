"""How to install more of csflow here: it is in no package index, so the words depend on where it came from."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["pip_install"]

NAME = "csflow"


def pip_install(extras: str) -> str:
    """The command that adds extras, "train" or "openvino,serve", to this csflow.

    It names the clone, wheel or repository that this csflow was installed from, as pip recorded it in direct_url.json
    (PEP 610). A csflow that came from an index or a folder of wheels, --find-links, has no such record: its name is
    enough then.
    """
    record = _record()
    url = str(record.get("url", ""))
    if url.startswith("file:"):
        editable = "-e " if record.get("dir_info", {}).get("editable") else ""
        return f"pip install {editable}'{unquote(urlsplit(url).path)}[{extras}]'"
    if vcs := record.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    origin = f" @ {url}" if url else ""
    return f"pip install '{NAME}[{extras}]{origin}'"


def _record() -> dict[str, Any]:
    try:
        record = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
