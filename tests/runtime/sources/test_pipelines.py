"""Ready-made pipelines, as text: what no machine without the camera can run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from csflow.runtime.errors import ConfigError
from csflow.runtime.sources.gstreamer.pipelines import (
    RtspStream,
    aravis_pipeline,
    csi_pipeline,
    probe_pipeline,
    rtsp_pipeline,
)


def test_a_csi_camera_is_captured_in_nvmm_and_converted_there() -> None:
    assert csi_pipeline("csi:1?size=1920x1080&fps=60&flip=2") == (
        "nvarguscamerasrc sensor-id=1 ! 'video/x-raw(memory:NVMM),format=NV12,width=1920,height=1080,framerate=60/1' "
        "! nvvidconv flip-method=2 ! video/x-raw,format=BGRx"
    )
    assert "width=1280,height=720,framerate=30/1" in csi_pipeline("csi:0")


URI = "gst+rtsp://u:p@h/live?a=1&b='"
HEAD = (
    "rtspsrc location='rtsp://u:p@h/live?a=1&b='\"'\"'' protocols=tcp latency=100 drop-on-latency=true "
    "! application/x-rtp,media=video"
)


def has(*elements: str) -> Callable[[str], bool]:
    return lambda name: name in elements


def test_rtsp_ends_in_the_jetsons_own_converter_there_alone() -> None:
    assert rtsp_pipeline(URI, has(), RtspStream("H265", True)) == f"{HEAD} ! decodebin"
    on_jetson = rtsp_pipeline(URI, has("nvvidconv", "avdec_h265"), RtspStream("H265", False))
    assert on_jetson.endswith("media=video ! decodebin ! nvvidconv ! video/x-raw,format=BGRx")


def test_rtsp_waits_for_a_key_frame_where_it_can_and_leaves_jpeg_undecoded() -> None:
    for there in (has(), has("nvvidconv")):
        h264 = rtsp_pipeline(URI, there, RtspStream("H264", True))
        assert h264.startswith(f"{HEAD} ! rtph264depay wait-for-keyframe=true request-keyframe=true ! decodebin")
        assert rtsp_pipeline(URI, there, RtspStream("JPEG", False)) == f"{HEAD} ! rtpjpegdepay ! image/jpeg"
    h265 = rtsp_pipeline(URI, has("avdec_h265"), RtspStream("H265", True))
    assert "avdec_h265 automatic-request-sync-points=true" in h265
    # The decoder is told of what the network lost; what the buffer itself dropped it would not be told of.
    assert "manager::do-lost=true" in h265
    assert "drop-on-latency" not in h265


def test_untagged_video_has_the_matrix_that_it_has_through_opencv() -> None:
    pipeline = rtsp_pipeline(URI, has(), RtspStream("H264", False))
    assert pipeline.endswith("capssetter caps=video/x-raw,colorimetry=bt601")


def test_what_a_camera_sends_is_read_from_the_probes_words() -> None:
    told = "GstPad:src: caps = application/x-rtp, media=(string)video, encoding-name=(string)H264, payload=(int)96"
    assert RtspStream.parse(told) == RtspStream("H264", False)
    assert RtspStream.parse(f"{told}\ncaps = video/x-h264, colorimetry=(string)bt709") == RtspStream("H264", True)
    assert RtspStream.parse("") == RtspStream("", False)
    assert "location=rtsp://h/x protocols=tcp" in probe_pipeline("gst+rtsp://h/x")


def test_aravis_sets_what_is_asked_for_with_the_automatics_off() -> None:
    assert aravis_pipeline("aravis:Acme-123?size=640x480&fps=20&exposure_us=5000&gain=6&packet_size=8192") == (
        "aravissrc camera-name=Acme-123 num-arv-buffers=4 exposure-auto=off exposure=5000 gain-auto=off gain=6 "
        "packet-size=8192 ! video/x-raw,format=GRAY8,width=640,height=480,framerate=20/1"
    )
    assert aravis_pipeline("aravis:") == "aravissrc num-arv-buffers=4 ! video/x-raw,format=GRAY8"


@pytest.mark.parametrize("name", ["RGGB", "rggb", "BayerRG8"])
def test_a_bayer_camera_is_given_its_colours(name: str) -> None:
    assert aravis_pipeline(f"aravis:x?format={name}").endswith("! video/x-bayer,format=rggb ! bayer2rgb")


@pytest.mark.parametrize(("name", "caps"), [("Mono8", "GRAY8"), ("RGB8", "RGB"), ("YUV422_8", "YUY2"), ("BGR", "BGR")])
def test_pixel_formats_have_genicams_names_or_gstreamers(name: str, caps: str) -> None:
    assert aravis_pipeline(f"aravis:x?format={name}").endswith(f"! video/x-raw,format={caps}")


@pytest.mark.parametrize("name", ["Mono10", "Mono12Packed", "BayerRG12", "GRAY16_LE", "rggb16le", "RGB14"])
def test_a_pixel_format_whose_lower_bits_would_be_lost_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="for example Mono8"):
        aravis_pipeline(f"aravis:x?format={name}")


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
