"""The driver with a camera that the test plays: pictures, losses, triggers, stamps, and what does not load."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from csflow.runtime.errors import BackendUnavailable, SourceError, SourceLost
from csflow.runtime.sources.genicam import driver
from csflow.runtime.sources.genicam.driver import drive, exposure_ns_of, picture_of, stamps_of
from csflow.runtime.sources.genicam.wish import Wish

harvesters = pytest.importorskip("harvesters.core", reason="the extra genicam is not installed")
MONO8, BGR8, BAYER_RG8 = 0x01080001, 0x02180015, 0x01080009


class Heard:
    """An outbox that keeps what it is told, and ends the driver after so many messages."""

    def __init__(self, ending: threading.Event, enough: int) -> None:
        self.told: list[Mapping[str, Any]] = []
        self.images: list[NDArray[Any]] = []
        self._ending, self._enough = ending, enough

    def tell(self, told: Mapping[str, Any]) -> None:
        self.told.append(told)
        if len(self.told) >= self._enough:
            self._ending.set()

    def warn(self, message: str) -> None:
        self.tell({"event": "warning", "message": message})

    def picture(self, told: Mapping[str, Any], image: NDArray[Any]) -> None:
        self.images.append(image)
        self.tell(told)


def buffer(data: NDArray[np.uint8], value: int, size: tuple[int, int], padding: int = 0, **more: Any) -> Any:
    given = {"parts": (), "pixel_format": value, "width": size[0], "height": size[1], "padding_x": padding}
    rest = {"image_offset": 0, "pixel_endianness": 1, "raw_buffer": data.tobytes()}
    return SimpleNamespace(**{**given, **rest, "parent": SimpleNamespace(queue_buffer=lambda _: None), **more})


class Harvester:
    """As harvesters has it: one camera, whose fetches follow a script."""

    def __init__(self, *script: Any, access: int = 1, create: Exception | None = None) -> None:
        self.device_info_list = [
            SimpleNamespace(id_="a", serial_number="7", model="M", vendor="V", access_status=access, tl_type="GEV")
        ]
        self._script, self._create, self._callback = iter(script), create, None
        self.events = harvesters.ImageAcquirer.Events
        self.closed = False

    def create(self, _number: int) -> Any:
        if self._create:
            raise self._create
        node = SimpleNamespace(to_string=lambda: "Mono8")
        known = {"PixelFormat": node, "TriggerSoftware": getattr(self, "software", None)}
        nodes = SimpleNamespace(get_node=known.get)
        return SimpleNamespace(
            Events=self.events,
            add_callback=lambda _, callback: setattr(self, "_callback", callback),
            min_num_buffers=1,
            remote_device=SimpleNamespace(node_map=nodes),
            start=lambda: None,
            stop=lambda: None,
            try_fetch=self._fetch,
        )

    def _fetch(self, **_: Any) -> Any:
        step = next(self._script, None)
        if step is None:
            time.sleep(0.001)
        if isinstance(step, Exception):
            raise step
        if step == "incomplete":
            assert self._callback is not None
            self._callback.emit()
            return None
        return step

    def reset(self) -> None:
        self.closed = True


def driven(monkeypatch: pytest.MonkeyPatch, harvester: Harvester, enough: int = 1) -> Heard:
    monkeypatch.setattr(driver, "open_harvester", lambda _: harvester)
    ending = threading.Event()
    heard = Heard(ending, enough)
    drive(Wish("7", cti=__file__), heard, ending, queue.SimpleQueue())  # type: ignore[arg-type]
    return heard


def test_pictures_incomplete_ones_and_silence_are_told_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.arange(12, dtype=np.uint8)
    harvester = Harvester(buffer(grey, MONO8, (4, 3)), "incomplete", None)
    heard = driven(monkeypatch, harvester, enough=4)
    assert [told["event"] for told in heard.told] == ["opened", "picture", "incomplete", "idle"]
    assert heard.told[0]["device"] == "7 (V M)"
    np.testing.assert_array_equal(heard.images[0], grey.reshape(3, 4))
    assert harvester.closed


class ResourceInUseException(Exception):
    """As the binding calls it."""


def test_clocks_are_compared_while_no_picture_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    monkeypatch.setattr(driver.CameraClock, "compare", lambda clock: compared.append(id(clock)))
    driven(monkeypatch, Harvester(None, None), enough=3)
    assert len(compared) == 3


def test_a_camera_that_somebody_else_has_is_no_lost_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="cannot be opened: another program has it"):
        driven(monkeypatch, Harvester(access=4))
    with pytest.raises(SourceError, match="cannot be opened: another program has it"):
        driven(monkeypatch, Harvester(create=ResourceInUseException("in use")))


def test_a_camera_that_fails_while_it_runs_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceLost, match=r"the camera 7 .* failed: unplugged"):
        driven(monkeypatch, Harvester(RuntimeError("unplugged")), enough=2)


def test_a_format_that_is_not_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="'0xabc', which csflow does not read: set its PixelFormat"):
        driven(monkeypatch, Harvester(buffer(np.zeros(4, np.uint8), 0xABC, (2, 2))), enough=2)


def test_padding_channels_and_parts_are_what_they_say() -> None:
    rows = np.arange(2 * 7, dtype=np.uint8)
    np.testing.assert_array_equal(picture_of(buffer(rows, MONO8, (4, 2), padding=3)), rows.reshape(2, 7)[:, :4])
    bgr = np.arange(12, dtype=np.uint8)
    np.testing.assert_array_equal(picture_of(buffer(bgr, BGR8, (2, 2))), bgr.reshape(2, 2, 3)[:, :, ::-1])
    part = SimpleNamespace(data_format=MONO8, width=2, height=2, x_padding=0, data_offset=5)
    whole = buffer(np.arange(9, dtype=np.uint8), BAYER_RG8, (9, 1), parts=(SimpleNamespace(width=0, height=0), part))
    assert picture_of(whole).tolist() == [[5, 6], [7, 8]]


def test_each_request_executes_the_software_trigger_of_the_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    executed, harvester = threading.Event(), Harvester(*[None] * 100_000)
    monkeypatch.setattr(harvester, "software", SimpleNamespace(execute=executed.set), raising=False)
    monkeypatch.setattr(driver, "open_harvester", lambda _: harvester)
    ending, fired = threading.Event(), queue.SimpleQueue[None]()
    fired.put(None)
    heard = Heard(ending, 100_000)
    thread = threading.Thread(target=drive, args=(Wish("7", cti=__file__), heard, ending, fired))
    thread.start()
    assert executed.wait(60.0)
    ending.set()
    thread.join(60.0)
    assert not thread.is_alive()


def test_the_stamp_of_the_camera_counts_where_it_can_be_true() -> None:
    def clock(offset_ns: int | None) -> Any:
        found = None if offset_ns is None else (100 + offset_ns, 3)
        return SimpleNamespace(device_ns=lambda _: 100, host_ns=lambda _: found)

    stamped = SimpleNamespace(frame_id=7)
    arrived_ns = 10**12
    told = {"frame_id": 7, "device_ns": 100}
    near = clock(arrived_ns - 1000)
    assert stamps_of(stamped, near, arrived_ns) == {
        "captured_ns": arrived_ns - 900,
        "camera": {**told, "clock_error_ns": 3},
    }
    # A stamp of the beginning: the end of the exposure counts, and not beyond the arrival.
    assert stamps_of(stamped, near, arrived_ns, 300)["captured_ns"] == arrived_ns - 600
    assert stamps_of(stamped, near, arrived_ns, 5000)["captured_ns"] == arrived_ns
    later = {"captured_ns": arrived_ns, "camera": told}
    assert stamps_of(stamped, clock(None), arrived_ns) == later
    assert stamps_of(stamped, clock(arrived_ns), arrived_ns) == later  # after the arrival: another clock
    assert stamps_of(stamped, clock(0), arrived_ns) == later  # a quarter of an hour before it
    none = SimpleNamespace(device_ns=lambda _: None)
    assert stamps_of(SimpleNamespace(), none, 5) == {"captured_ns": 5, "camera": {}}


def test_the_exposure_is_that_of_the_picture_or_what_is_set() -> None:
    nodes = SimpleNamespace(get_node={"ExposureTime": SimpleNamespace(value=12.5)}.get)
    assert exposure_ns_of(nodes, {"ChunkExposureTime": 7.0}) == 7_000
    assert exposure_ns_of(nodes, {}) == 12_500
    assert exposure_ns_of(SimpleNamespace(get_node={}.get), {}) == 0


def test_without_harvesters_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harvesters.core", None)
    with pytest.raises(BackendUnavailable, match=r"\[genicam\]'"):
        driver.open_harvester([])


def test_a_producer_that_does_not_load_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.cti"
    broken.write_bytes(b"no library")
    with pytest.raises(BackendUnavailable, match=r"broken\.cti do not load"):
        driver.open_harvester([str(broken)])
