"""Which results an output gets: all, not-ok, near the threshold, every n-th."""

from __future__ import annotations

import re

from csflow.runtime.errors import ConfigError
from csflow.runtime.sink import ResultSink
from csflow.runtime.types import Frame, Result, Verdict

__all__ = ["ResultRule", "SelectingSink"]

NEAR = 0.2
GRAMMAR = "expected all, not-ok, near or every=N, or several of them with commas"


class ResultRule:
    """Says of each result whether it is wanted. `near`: the score within 20 % of the reject threshold."""

    def __init__(self, text: str) -> None:
        """Parse 'all', 'not-ok', 'near', 'every=N', or several of them with commas: any of them is enough.

        Raises ConfigError for anything else.
        """
        self._words = text.split(",")
        self._every = 0
        self._seen = 0
        for word in self._words:
            match = re.fullmatch(r"every=([1-9][0-9]{0,8})", word)
            if match is not None:
                self._every = int(match[1])
            elif word not in ("all", "not-ok", "near"):
                raise ConfigError(f"no rule {word!r}: {GRAMMAR}, for example not-ok,every=100")

    def wants(self, result: Result) -> bool:
        """Whether this result is wanted; call it once a result, every n-th counts them."""
        self._seen += 1
        return (
            "all" in self._words
            or ("not-ok" in self._words and result.verdict is not Verdict.OK)
            or ("near" in self._words and abs(result.score - result.threshold) <= NEAR * result.threshold)
            or (self._every > 0 and (self._seen - 1) % self._every == 0)
        )


class SelectingSink:
    """Passes on to `sink` what the rule wants."""

    def __init__(self, sink: ResultSink, rule: ResultRule) -> None:
        self._sink = sink
        self._rule = rule

    def write(self, result: Result, frame: Frame | None) -> None:
        """Pass the result on, or not."""
        if self._rule.wants(result):
            self._sink.write(result, frame)

    def close(self) -> None:
        """Close the sink behind."""
        self._sink.close()

    def __enter__(self) -> SelectingSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
