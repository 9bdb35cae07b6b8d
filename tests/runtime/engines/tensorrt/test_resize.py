"""Crop and resize by the TensorRT engine: used only where they are Pillow's, over a fake GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.detector import Detector
from csflow.runtime.engine import CameraEngine
from csflow.runtime.engines.tensorrt.engine import TensorRTEngine
from csflow.runtime.picture.preprocess import preprocess
from csflow.runtime.types import Frame

Install = Callable[..., Any]
CAMERA = "resize_48x96"


def picture(seed: int, height: int = 64, width: int = 64) -> Frame:
    return Frame(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def opened(bundle: Bundle, stage: Any) -> TensorRTEngine:
    return TensorRTEngine(bundle, driver=stage.driver)


def test_pictures_of_a_known_camera_are_resized_on_the_gpu(
    calibrated_bundle: Bundle, fake_trt: ModuleType, stage: Install
) -> None:
    scene = stage()
    bundle = fake_trt.with_graphs(calibrated_bundle, CAMERA)
    with opened(bundle, scene) as engine, Detector(bundle, engine, Detector.open(bundle.path, "fake").calibration) as d:
        assert isinstance(engine, CameraEngine)
        assert engine.describe().endswith("96x48 resized on the GPU")
        assert engine.takes(picture(1, 48, 96).image)
        assert not engine.takes(picture(1, 96, 48).image)
        assert not engine.takes(np.zeros((48, 96, 3), np.float32))
        captures = scene.driver.names().count("begin_capture")
        for seed in range(3):
            del scene.events[:]
            given = picture(seed, 48, 96)
            one = d.detect(given)
            assert scene.events == ["execute resize"], "backbone and flow are launched as the graph they were before"
            assert one.score == pytest.approx(preprocess(given.image, bundle.manifest.preprocessing).mean() / 255, 1e-3)
        assert scene.driver.names().count("begin_capture") == captures
        del scene.events[:]
        d.detect_batch([picture(3, 48, 96), picture(4, 64, 64)])
        assert scene.events == ["execute resize"], "the processor did the other"
    assert scene.driver.lost == []


def test_ignored_rectangles_are_painted_over_before_the_gpu_resizes(
    make_bundle: Callable[..., Bundle], fake_trt: ModuleType, stage: Install
) -> None:
    plain = make_bundle()
    how = dataclasses.replace(plain.manifest.preprocessing, ignore=((10, 5, 60, 40),))
    manifest = dataclasses.replace(plain.manifest, preprocessing=how, files={})
    bundle = Bundle.create(plain.path.with_name("painted.csflow"), manifest, {"weights/flow.safetensors": b"x"})
    with opened(fake_trt.with_graphs(bundle, CAMERA), stage()) as engine:
        given = picture(5, 48, 96).image
        before = given.copy()
        assert np.array_equal(engine.resize(given), preprocess(before, how))
        assert np.array_equal(given, before), "the caller's picture stays as it was"


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"spoil": 2}, "grey levels"), ({"roi": (0, 0, 40, 40)}, "grey levels")],
    ids=["inexact", "other region"],
)
def test_a_resize_that_is_not_pillows_is_not_used(
    calibrated_bundle: Bundle, fake_trt: ModuleType, stage: Install, changes: dict[str, Any], why: str
) -> None:
    bundle = fake_trt.with_graphs(calibrated_bundle, CAMERA, **changes)
    with opened(bundle, stage()) as engine:
        assert not engine.takes(picture(1, 48, 96).image)
        assert "96x48 resized by the processor: differs from Pillow's" in engine.describe()
        assert why in engine.host_resize["96x48"]


def test_a_region_that_leaves_the_camera_picture_is_not_resized_on_the_gpu(
    make_bundle: Callable[..., Bundle], fake_trt: ModuleType, stage: Install
) -> None:
    bundle = fake_trt.with_graphs(make_bundle(roi=(0, 0, 200, 40)), CAMERA)
    with opened(bundle, stage()) as engine:
        assert "leaves the image" in engine.host_resize["96x48"]
