"""libcsflow from Python, with ctypes alone: `python csflow_ctypes.py LIBRARY BUNDLE PICTURE...`.

A template for any language that can call C. In Python itself `csflow.runtime.detector` is the shorter way.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import (
    byref,
    c_char,
    c_char_p,
    c_double,
    c_float,
    c_int32,
    c_int64,
    c_size_t,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

OK, PENDING, IDLE = 0, 1, 2
VERDICTS = ("NONE", "OK", "NOK", "UNCERTAIN", "ERROR")
FORMATS = {"RGB8": 1, "BGR8": 2, "GRAY8": 3, "BGRX8": 4, "NV12": 5, "GRAY16": 6}


class Sized(ctypes.Structure):
    """A structure that begins with its size, as every structure of csflow.h does."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class Options(Sized):
    """`csflow_options`."""

    _fields_ = (
        ("struct_size", c_uint32),
        ("api_version", c_uint32),
        ("max_width", c_int32),
        ("max_height", c_int32),
        ("device", c_char_p),
        ("library", c_char_p),
        ("cache", c_char_p),
        ("unverified", c_uint32),
        ("worker_deadline_ms", c_uint32),
        ("any_size", c_uint32),
        ("reserved", c_uint32),
    )


class Description(Sized):
    """`csflow_description`."""

    _fields_ = (
        ("struct_size", c_uint32),
        ("image_size", c_int32),
        ("roi", c_int32 * 4),
        ("map_width", c_int32),
        ("map_height", c_int32),
        ("warn_threshold", c_double),
        ("reject_threshold", c_double),
        ("recipe", c_char * 64),
        ("engine", c_char * 32),
        ("bundle_sha256", c_char * 72),
        ("weights_sha256", c_char * 72),
        ("distrust", c_char * 256),
        ("method", c_char * 32),
    )


class Picture(Sized):
    """`csflow_image`."""

    _fields_ = (
        ("struct_size", c_uint32),
        ("format", c_int32),
        ("width", c_int32),
        ("height", c_int32),
        ("row_stride", c_int64),
        ("data", c_void_p),
        ("chroma", c_void_p),
        ("chroma_stride", c_int64),
        ("captured_ns", c_int64),
        ("frame_id", c_uint64),
    )


class Result(Sized):
    """`csflow_result`."""

    _fields_ = (
        ("struct_size", c_uint32),
        ("status", c_int32),
        ("frame_id", c_uint64),
        ("verdict", c_int32),
        ("verdict_code", c_uint16),
        ("reason", c_uint16),
        ("score", c_double),
        ("warn_threshold", c_double),
        ("reject_threshold", c_double),
        ("p_value", c_double),
        ("peak_x", c_int32),
        ("peak_y", c_int32),
        ("latency_ns", c_int64),
        ("verified", c_uint32),
        ("reserved", c_uint32),
    )


class CycleIn(Sized):
    """`csflow_cycle_in`."""

    _fields_ = (
        ("struct_size", c_uint32),
        ("req", c_uint32),
        ("deadline_ms", c_uint32),
        ("reserved", c_uint32),
        ("image", Picture),
    )


class CycleOut(Sized):
    """`csflow_cycle_out`."""

    _fields_ = (
        ("struct_size", c_uint32),
        ("busy", c_uint8),
        ("done", c_uint8),
        ("error", c_uint8),
        ("reserved", c_uint8),
        ("status", c_int32),
        ("cycles", c_uint32),
        ("result", Result),
    )


class SelfTestResult(Sized):
    """`csflow_self_test_result`."""

    _fields_ = (
        ("struct_size", c_uint32),
        ("frames", c_int32),
        ("flips", c_int32),
        ("reserved", c_int32),
        ("score_error", c_double),
        ("map_error", c_double),
    )


STRUCTURES = {
    "csflow_options": Options,
    "csflow_description": Description,
    "csflow_image": Picture,
    "csflow_result": Result,
    "csflow_cycle_in": CycleIn,
    "csflow_cycle_out": CycleOut,
    "csflow_self_test_result": SelfTestResult,
}


class LibraryError(Exception):
    """A call failed; `status` is its number, the text what the library said."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def load(path: str) -> ctypes.CDLL:
    """The library with the types of its functions."""
    library = ctypes.CDLL(path)
    detector, pointer = c_uint64, c_void_p
    types: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "open": (c_int32, (ctypes.POINTER(c_uint64), c_char_p, pointer)),
        "describe": (c_int32, (detector, pointer)),
        "detect": (c_int32, (detector, pointer, pointer)),
        "submit": (c_int32, (detector, pointer)),
        "poll": (c_int32, (detector, pointer)),
        "anomaly_map": (c_int32, (detector, pointer, pointer, pointer)),
        "render_map": (c_int32, (detector, pointer, c_int64, c_int32, c_int32)),
        "cycle": (c_int32, (detector, pointer, pointer)),
        "self_test": (c_int32, (detector, pointer)),
        "close": (c_int32, (detector,)),
        "version": (c_char_p, ()),
        "strerror": (c_char_p, (c_int32,)),
        "last_error": (c_size_t, (detector, c_char_p, c_size_t)),
    }
    for name, (result, arguments) in types.items():
        function = getattr(library, f"csflow_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def last_error(library: ctypes.CDLL, detector: int = 0) -> str:
    """What the last failed call said."""
    text = ctypes.create_string_buffer(512)
    library.csflow_last_error(detector, text, len(text))
    return text.value.decode()


class Detector:
    """An open bundle; use it in `with`."""

    def __init__(self, library: ctypes.CDLL, bundle: str, /, **options: Any) -> None:
        self.library, self.handle = library, 0
        handle = c_uint64()
        given = Options(api_version=1, **options)
        self.check(library.csflow_open(byref(handle), bundle.encode(), byref(given)))
        self.handle = handle.value

    def check(self, status: int) -> None:
        """Raise LibraryError for a negative status."""
        if status < 0:
            raise LibraryError(status, last_error(self.library, self.handle))

    def describe(self) -> Description:
        """What was opened."""
        description = Description()
        self.check(self.library.csflow_describe(self.handle, byref(description)))
        return description

    def detect(self, picture: Picture) -> Result:
        """Wait for the verdict."""
        result = Result()
        self.check(self.library.csflow_detect(self.handle, byref(picture), byref(result)))
        return result

    def anomaly_map(self) -> tuple[int, int, list[float]]:
        """(height, width, values) of the last picture's map, copied."""
        values, width, height = ctypes.POINTER(c_float)(), c_int32(), c_int32()
        self.check(self.library.csflow_anomaly_map(self.handle, byref(values), byref(width), byref(height)))
        return height.value, width.value, values[: width.value * height.value]

    def self_test(self) -> SelfTestResult:
        """Score the golden frames."""
        result = SelfTestResult()
        self.check(self.library.csflow_self_test(self.handle, byref(result)))
        return result

    def close(self) -> None:
        """Release everything."""
        self.check(self.library.csflow_close(self.handle))

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def main(library: str, bundle: str, *pictures: str) -> None:
    """Print a line for each picture file."""
    from PIL import Image

    with Detector(load(library), bundle) as detector:
        for path in pictures:
            with Image.open(path) as file:
                pixels, (width, height) = file.convert("RGB").tobytes(), file.size
            image = Picture(format=FORMATS["RGB8"], width=width, height=height, row_stride=3 * width)
            image.data = ctypes.cast(c_char_p(pixels), c_void_p)
            result = detector.detect(image)
            print(f"{VERDICTS[result.verdict]}\t{result.score:.6f}\t{path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
