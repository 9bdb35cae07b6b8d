"""Who runs this."""

from __future__ import annotations

import getpass

__all__ = ["user_name"]


def user_name() -> str:
    """The login name; "unknown" where this machine has none, as in a container without /etc/passwd."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
