"""Ready-made pipelines, as text: what no machine without the camera can run."""

from __future__ import annotations

import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.sources.gstreamer.pipelines import aravis_pipeline, csi_pipeline, rtsp_pipeline


def test_a_csi_camera_is_captured_in_nvmm_and_converted_there() -> None:
    assert csi_pipeline("csi:1?size=1920x1080&fps=60&flip=2") == (
        "nvarguscamerasrc sensor-id=1 ! 'video/x-raw(memory:NVMM),format=NV12,width=1920,height=1080,framerate=60/1' "
        "! nvvidconv flip-method=2 ! video/x-raw,format=BGRx"
    )
    assert "width=1280,height=720,framerate=30/1" in csi_pipeline("csi:0")


def test_rtsp_ends_in_the_jetsons_own_converter_there_alone() -> None:
    uri = "gst+rtsp://u:p@h/live?a=1&b='"
    assert rtsp_pipeline(uri, jetson=False) == (
        "rtspsrc location='rtsp://u:p@h/live?a=1&b='\"'\"'' latency=100 drop-on-latency=true ! decodebin"
    )
    assert rtsp_pipeline(uri, jetson=True).endswith("! decodebin ! nvvidconv ! video/x-raw,format=BGRx")


def test_aravis_sets_what_is_asked_for_with_the_automatics_off() -> None:
    assert aravis_pipeline("aravis:Acme-123?size=640x480&fps=20&exposure_us=5000&gain=6&packet_size=8192") == (
        "aravissrc camera-name=Acme-123 num-arv-buffers=4 exposure-auto=off exposure=5000 gain-auto=off gain=6 "
        "packet-size=8192 ! video/x-raw,format=GRAY8,width=640,height=480,framerate=20/1"
    )
    assert aravis_pipeline("aravis:") == "aravissrc num-arv-buffers=4 ! video/x-raw,format=GRAY8"


def test_a_bayer_camera_is_given_its_colours() -> None:
    assert aravis_pipeline("aravis:x?format=RGGB").endswith("! video/x-bayer,format=rggb ! bayer2rgb")


@pytest.mark.parametrize("uri", ["csi:", "csi:x", "csi:0?flip=8", "csi:0?fps=0", "csi:0?size=1280", "csi:0?sise=1x1"])
def test_a_wrong_csi_camera_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="csi"):
        csi_pipeline(uri)


@pytest.mark.parametrize("uri", ["aravis:x?format=a!b", "aravis:x?exposure_us=0", "aravis:x?exposure=1"])
def test_a_wrong_aravis_camera_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="aravis"):
        aravis_pipeline(uri)


def test_a_name_cannot_add_elements() -> None:
    assert "camera-name='x ! filesink location=y'" in aravis_pipeline("aravis:x ! filesink location=y")
