"""The page's words in several languages: those that csflow has, and one from a file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from csflow.runtime.errors import ConfigError
from csflow.runtime.schema import SchemaError, dump_json, parse_json

__all__ = ["LANGUAGES", "OWN", "Words"]

LANGUAGES = ("en", "de")
OWN = "own"
"""What a file's language is called in addresses."""
MOST_BYTES = 256 << 10


class Words:
    """Texts by key, for each language a JSON object."""

    def __init__(self, language: str | None = None) -> None:
        """Read them.

        Args:
            language: what a browser gets that has chosen none: one of `LANGUAGES`, or a JSON file like those in
                csflow/runtime/page/static/words, in which words may be missing; None: as the browser is set.

        Raises ConfigError for a file that cannot be read, or has keys that the page does not know.
        """
        self._texts = {name: _built_in(name) for name in LANGUAGES}
        self._default = language or ""
        if language is not None and language not in LANGUAGES:
            self._texts[OWN] = _read(Path(language), self._texts["en"])
            self._default = OWN

    def of(self, name: str) -> bytes | None:
        """A language as JSON, English where it lacks a word; None for one that is not there."""
        return dump_json({**self._texts["en"], **self._texts[name]}) if name in self._texts else None

    def index(self) -> dict[str, Any]:
        """Which languages there are, by name, and the one for a browser that has chosen none."""
        return {"default": self._default, "languages": {name: own["language"] for name, own in self._texts.items()}}


def _built_in(name: str) -> dict[str, str]:
    file = resources.files("csflow.runtime.page") / "static" / "words" / f"{name}.json"
    texts: dict[str, str] = parse_json(file.read_bytes())
    return texts


def _read(path: Path, english: dict[str, str]) -> dict[str, str]:
    expected = f"expected {', '.join(LANGUAGES)}, or a JSON file of texts by key with 'language' among them"
    try:
        with path.open("rb") as file:
            texts = parse_json(file.read(MOST_BYTES))
    except (OSError, SchemaError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"no language {str(path)!r} ({why}): {expected}") from None
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ConfigError(f"{path} is no language: {expected}")
    if unknown := sorted(set(texts) - set(english)):
        raise ConfigError(f"{path} has words that the page does not know: {', '.join(unknown[:5])}")
    if "language" not in texts:
        raise ConfigError(f"{path} does not say its name: {expected}")
    return texts
