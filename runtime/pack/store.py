"""The bundles that a box was given: each in a folder of its own, a link for the one in use, the last kept.

    part7.csflow                                link to the one in use; stations and services name this
    .part7.csflow.versions/<sha>/part7.csflow   a bundle, <sha> the first 12 digits of its pack's SHA-256
    .part7.csflow.versions/previous             link to the folder <sha> that was in use before
    deploy.log                                  one JSON line for each step

A running process keeps the bundle that it opened; it takes the new one when it opens the link again, which a station
does on PrepareRecipe. Interrupted at any step, the link leads to the old bundle or to the new one, which was tested.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from csflow.runtime.atomic import sync_directory
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import BundleError, CSFlowError
from csflow.runtime.machine.user import user_name
from csflow.runtime.pack.archive import unpack
from csflow.runtime.pack.keys import TrustList
from csflow.runtime.pack.seal import Seal, check_seal
from csflow.runtime.schema import json_line
from csflow.runtime.sinks.record import utc_text

__all__ = ["LOG", "Store"]

LOG = "deploy.log"
DIGITS = 12


@dataclass(frozen=True)
class Store:
    """What lies at one link."""

    link: Path

    def install(self, source: Path, trusted: TrustList, allow_unsigned: bool, test: Callable[[Bundle], None]) -> Bundle:
        """Unpack beside the bundle in use, test, and let the link lead to the new one.

        Args:
            test: raises CSFlowError where the bundle cannot decide on this machine; nothing is changed then.

        Raises:
            BundleCorrupted, BundleVersionError: as `unpack`.
            BundleError: there is something else than a link of a store.
            OSError: as the file system does.
        """
        self._require_link()
        with self._refusal_noted():
            return self._install(source, trusted, allow_unsigned, test)

    def _install(
        self, source: Path, trusted: TrustList, allow_unsigned: bool, test: Callable[[Bundle], None]
    ) -> Bundle:
        seal = check_seal(source, trusted, allow_unsigned)
        self._note("checked", seal)
        new = self._folder(seal) / self.link.name
        bundle = self._unpacked(source, new, trusted, allow_unsigned)
        self._note("unpacked", seal)
        test(bundle)
        self._note("tested", seal)
        old = self._in_use()
        if old is not None and old != new:
            _point(self._versions / "previous", Path(old.parent.name))
        _point(self.link, new.relative_to(self.link.parent))
        self._note("in use", seal)
        self._clear()
        return Bundle.open(self.link)

    def rollback(self, test: Callable[[Bundle], None]) -> Bundle:
        """Let the link lead to the bundle that was in use before; the two change places.

        Raises BundleError where there is none, else as `install`.
        """
        self._require_link()
        now, before = self._in_use(), self._previous()
        if now is None or before is None:
            raise BundleError(f"{self.link} has no bundle before the one in use: deploy one with 'csflow deploy'")
        with self._refusal_noted():
            test(Bundle.open(before))
        _point(self._versions / "previous", Path(now.parent.name))
        _point(self.link, before.relative_to(self.link.parent))
        self._note("rolled back", None)
        return Bundle.open(self.link)

    @property
    def _versions(self) -> Path:
        return self.link.with_name(f".{self.link.name}.versions")

    def _folder(self, seal: Seal) -> Path:
        return self._versions / seal.sha256[:DIGITS]

    def _unpacked(self, source: Path, new: Path, trusted: TrustList, allow_unsigned: bool) -> Bundle:
        # One that lies there from an earlier try was whole when it took its name, but may have been touched since.
        if new.exists():
            bundle = Bundle.open(new)
            bundle.verify()
            return bundle
        return unpack(source, new, trusted, allow_unsigned)[0]

    def _in_use(self) -> Path | None:
        return self.link.parent / os.readlink(self.link) if self.link.is_symlink() else None

    def _previous(self) -> Path | None:
        path = self._versions / "previous"
        return self._versions / os.readlink(path) / self.link.name if path.is_symlink() else None

    def _require_link(self) -> None:
        if os.path.lexists(self.link) and not self.link.is_symlink():
            raise BundleError(
                f"{self.link} is a folder that 'csflow deploy' did not make: move it away, or name another place"
            )

    def _clear(self) -> None:
        kept = {path.parent.name for path in (self._in_use(), self._previous()) if path is not None}
        for folder in self._versions.iterdir():
            if folder.is_dir() and not folder.is_symlink() and folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _refusal_noted(self) -> Iterator[None]:
        try:
            yield
        except CSFlowError as error:
            self._note("refused", None, str(error))
            raise

    def _note(self, step: str, seal: Seal | None, why: str = "") -> None:
        line = {
            "time_utc": utc_text(time.time_ns()),
            "step": step,
            "bundle": str(self.link),
            "leads_to": str(self._in_use() or "") or None,
            "pack_sha256": None if seal is None else seal.sha256,
            "signed_by": None if seal is None else seal.signer or None,
            "user": user_name(),
            **({"why": why} if why else {}),
        }
        self.link.parent.mkdir(parents=True, exist_ok=True)
        with (self.link.parent / LOG).open("a", encoding="utf-8") as log:
            log.write(json_line(line) + "\n")
            log.flush()
            os.fsync(log.fileno())


def _point(link: Path, target: Path) -> None:
    """A link that leads to `target` from one moment to the next."""
    staged = link.with_name(f".{link.name}.new")
    staged.unlink(missing_ok=True)
    staged.symlink_to(target)
    os.replace(staged, link)
    sync_directory(link.parent)
