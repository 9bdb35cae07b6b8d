"""An RTSP server on loopback that shows GStreamer's test picture, or what its argument says; prints its port.

Run by the system's Python: needs gir1.2-gst-rtsp-server-1.0 and python3-gi.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory()
JPEG = (
    "videotestsrc is-live=true pattern=smpte ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 "
    "! jpegenc ! rtpjpegpay name=pay0"
)
factory.set_launch(f"( {sys.argv[1] if len(sys.argv) > 1 else JPEG} )")
factory.set_shared(True)
server.get_mount_points().add_factory("/part", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
