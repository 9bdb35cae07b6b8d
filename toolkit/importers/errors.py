"""The one error of an import, apart from wrong options and file-system errors."""

from __future__ import annotations

from csflow.runtime.errors import CSFlowError

__all__ = ["ImportRefused"]


class ImportRefused(CSFlowError):
    """A file is no CS-Flow model that can be imported exactly, is damaged, or holds what must not be read."""
