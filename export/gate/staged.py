"""A bundle with graphs that the gate has yet to judge: nothing of them is on its disk."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from tempfile import TemporaryFile

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import FileEntry

__all__ = ["StagedBundle"]


@dataclass(frozen=True)
class StagedBundle(Bundle):
    """A bundle with files that are not written yet: what it would be, before it is."""

    staged: Mapping[str, bytes]

    @classmethod
    def of(cls, bundle: Bundle, staged: Mapping[str, bytes], removed: Collection[str] = ()) -> StagedBundle:
        """`bundle` as it would be after `bundle.update(staged, removed)`."""
        entries = {name: FileEntry(sha256(data).hexdigest(), len(data)) for name, data in staged.items()}
        stay = {name: entry for name, entry in bundle.manifest.files.items() if name not in removed}
        return cls(bundle.path, replace(bundle.manifest, files={**stay, **entries}), staged)

    def read(self, name: str) -> bytes:
        """The staged content, or the checked content of the bundle."""
        return self.staged[name] if name in self.staged else super().read(name)

    @contextmanager
    def checked(self, name: str) -> Iterator[str]:
        """A path of the staged content, of a file that has no name, or that of the bundle."""
        if name not in self.staged:
            with super().checked(name) as path:
                yield path
            return
        with TemporaryFile() as file:
            file.write(self.staged[name])
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
