"""The browser of the page's tests."""

from ..page.conftest import browser, chromium  # noqa: TID252 - tests are no package that could be named

__all__ = ["browser", "chromium"]
