"""Ready-made GStreamer pipelines: CSI cameras and RTSP on a Jetson, GenICam cameras through Aravis.

Each function gives the text up to raw video; `csflow.runtime.sources.gstreamer.source` appends the rest. The elements
and their order for CSI and RTSP follow NVIDIA's jetson-utils (gstCamera.cpp, gstDecoder.cpp).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from csflow.runtime.errors import ConfigError
from csflow.runtime.options import Option, read_options, size_option

__all__ = ["RtspStream", "aravis_pipeline", "csi_pipeline", "probe_pipeline", "rtsp_pipeline"]

RTP_VIDEO = "application/x-rtp,media=video"
WAITING = {"H264": "rtph264depay", "VP8": "rtpvp8depay", "VP9": "rtpvp9depay"}
"""RTP encoding: the depayloader that can wait for a key frame (GStreamer 1.20)."""
SYNCHRONISED = (
    "automatic-request-sync-points=true automatic-request-sync-point-flags=discard-input+corrupt-output "
    "discard-corrupted-frames=true output-corrupt=false"
)
"""Properties of libav's decoders that give nothing before the first key frame, nor after a gap that they are told of
(GStreamer 1.20)."""
GENICAM = {
    "Mono8": "GRAY8",
    "BayerBG8": "bggr",
    "BayerGB8": "gbrg",
    "BayerGR8": "grbg",
    "BayerRG8": "rggb",
    "RGB8": "RGB",
    "BGR8": "BGR",
    "YUV422_8": "YUY2",
    "YUV422_8_UYVY": "UYVY",
}
"""Pixel format by its name in GenICam's Pixel Format Naming Convention: the same by GStreamer's."""


@dataclass(frozen=True)
class RtspStream:
    """What a network camera sends."""

    encoding: str
    """Name in RTP: H264, H265, JPEG, ...; empty where it is not known."""
    tagged: bool
    """Whether it says by which matrix its colours were made."""

    @classmethod
    def parse(cls, told: str) -> RtspStream:
        """Read what gst-launch-1.0 -v prints about `probe_pipeline`."""
        encoding = re.search(r"encoding-name=\(string\)([A-Z0-9.-]+)", told)
        return cls(encoding[1] if encoding else "", "colorimetry=" in told)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _flip(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 7:
        raise ValueError(text)
    return value


def _word(text: str) -> str:
    # It becomes part of a pipeline: nothing that could end an element's property.
    if not text or not all(c.isalnum() or c in "_-." for c in text):
        raise ValueError(text)
    return text


def _pixel_format(text: str) -> str:
    """GStreamer's name of a format of 8 bits a channel; deeper ones would lose their lower bits unnoticed."""
    name = GENICAM.get(text, _word(text))
    if re.search(r"(10|12|14|16)", name):
        raise ValueError(text)
    return name


_CSI: dict[str, Option] = {"size": (size_option, "1280x720"), "fps": (_positive, "30"), "flip": (_flip, "2")}
_ARAVIS: dict[str, Option] = {
    "size": (size_option, "1280x960"),
    "fps": (_positive, "20"),
    "format": (_pixel_format, "Mono8"),
    "exposure_us": (_positive, "5000"),
    "gain": (float, "6.0"),
    "packet_size": (_positive, "8192"),
}


def csi_pipeline(uri: str) -> str:
    """The pipeline for csi:N?size=1280x720&fps=30&flip=0, a camera on a Jetson's CSI connector.

    `flip` is nvvidconv's flip-method, 0 to 7. Raises ConfigError.
    """
    number, _, query = uri.partition(":")[2].partition("?")
    if not number.isdecimal():
        raise ConfigError(f"{uri!r}: expected csi:0 or csi:0?size=1280x720&fps=30&flip=2")
    values = read_options(uri, query, _CSI)
    width, height = values.get("size", (1280, 720))
    caps = f"video/x-raw(memory:NVMM),format=NV12,width={width},height={height},framerate={values.get('fps', 30)}/1"
    convert = f"nvvidconv flip-method={values.get('flip', 0)}"
    return f"nvarguscamerasrc sensor-id={int(number)} ! '{caps}' ! {convert} ! video/x-raw,format=BGRx"


def rtsp_pipeline(uri: str, has: Callable[[str], bool], stream: RtspStream) -> str:
    """The pipeline for gst+rtsp://user:password@host/path.

    `decodebin` takes the hardware decoder where the machine has one. A Jetson's gives pictures in memory that
    only its own converter reads. What follows a lost packet, or precedes the first key frame, is never decoded: for
    H.264, VP8 and VP9 the depayloader waits for a key frame; for H.265 the decoder of libav does, which hears of every
    gap, as nothing is dropped but by the network. Motion JPEG stays undecoded. The transport is TCP, as with rtsp://,
    which loses nothing on its way.

    Args:
        uri: the address, with gst+ before it.
        has: whether an element is installed.
        stream: what the camera sends.
    """
    jetson, decoder = has("nvvidconv"), "decodebin"
    head = f"{_rtsp_source(uri)} latency=100 drop-on-latency=true ! {RTP_VIDEO}"
    if stream.encoding == "H265" and not jetson and has("avdec_h265"):
        head = f"{_rtsp_source(uri)} latency=100 manager::do-lost=true ! {RTP_VIDEO}"
        decoder = f"rtph265depay ! h265parse ! avdec_h265 {SYNCHRONISED}"
    if stream.encoding == "JPEG":
        return f"{head} ! rtpjpegdepay ! image/jpeg"
    if stream.encoding in WAITING:
        head += f" ! {WAITING[stream.encoding]} wait-for-keyframe=true request-keyframe=true"
    if jetson:
        return f"{head} ! decodebin ! nvvidconv ! video/x-raw,format=BGRx"
    # Untagged video of 720 lines and more would be BT.709 here and is BT.601 through OpenCV.
    return f"{head} ! {decoder}" + ("" if stream.tagged else " ! capssetter caps=video/x-raw,colorimetry=bt601")


def probe_pipeline(uri: str) -> str:
    """A pipeline that says, with gst-launch-1.0 -v, what `RtspStream.parse` reads, and ends."""
    return f"{_rtsp_source(uri)} ! {RTP_VIDEO} ! parsebin ! fakesink num-buffers=1 sync=false"


def _rtsp_source(uri: str) -> str:
    return f"rtspsrc location={shlex.quote(uri.removeprefix('gst+'))} protocols=tcp"


def aravis_pipeline(uri: str) -> str:
    """The pipeline for aravis:NAME?size=1280x960&fps=20&format=Mono8&exposure_us=5000&gain=6&packet_size=8192.

    NAME is as `arv-tool-0.8` lists it; empty takes the only camera there is. The camera must accept size, rate
    and format exactly, or the pipeline does not start; exposure and gain switch their automatics off. `format` is a
    name of GenICam's (Mono8, BayerRG8, RGB8, YUV422_8) or of GStreamer's, with 8 bits a channel.
    Raises ConfigError.
    """
    name, _, query = uri.partition(":")[2].partition("?")
    values = read_options(uri, query, _ARAVIS)
    camera = f" camera-name={shlex.quote(name)}" if name else ""
    return f"aravissrc{camera}{_aravis_settings(values)} ! {_aravis_caps(values)}"


def _aravis_settings(values: dict[str, Any]) -> str:
    text = " num-arv-buffers=4"
    if "exposure_us" in values:
        text += f" exposure-auto=off exposure={values['exposure_us']}"
    if "gain" in values:
        text += f" gain-auto=off gain={values['gain']:g}"
    return text + (f" packet-size={values['packet_size']}" if "packet_size" in values else "")


def _aravis_caps(values: dict[str, Any]) -> str:
    kind = str(values.get("format", "GRAY8"))
    bayer = kind.lower() in ("bggr", "gbrg", "grbg", "rggb")
    caps = f"video/x-bayer,format={kind.lower()}" if bayer else f"video/x-raw,format={kind}"
    if "size" in values:
        caps += ",width={},height={}".format(*values["size"])
    caps += f",framerate={values['fps']}/1" if "fps" in values else ""
    return caps + (" ! bayer2rgb" if bayer else "")
