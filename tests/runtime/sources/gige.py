"""Aravis' fake GigE camera on loopback, as a process."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from csflow.runtime.sources.gstreamer import source as gstreamer

from .pipelines import has


@contextlib.contextmanager
def fake_gige(lost_of_1000: int = 0) -> Iterator[str]:
    """Its URI. Skips where it is not installed, or its port is taken."""
    if not has("aravissrc", "gdppay") or shutil.which("arv-fake-gv-camera-0.8") is None:
        pytest.skip("aravis-tools, gstreamer1.0-tools or -plugins-bad is not installed")
    serial = f"CSF{os.getpid()}"
    words = ["arv-fake-gv-camera-0.8", "-i", "127.0.0.1", "-s", serial, "-r", str(lost_of_1000)]
    with pytest.MonkeyPatch.context() as patch:
        if os.geteuid() == 0:
            # A packet socket, which Aravis prefers where it is allowed to, sees nothing of the fake camera on loopback.
            user = ("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")
            patch.setattr(gstreamer, "LAUNCHER", (*user, "gst-launch-1.0"))
        camera = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.2)
            if camera.poll() is not None:
                pytest.skip("the fake GigE camera's port is taken")
            yield f"aravis:Aravis-Fake-{serial}"
        finally:
            camera.kill()
            camera.wait()
