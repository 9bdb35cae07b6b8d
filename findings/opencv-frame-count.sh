#!/usr/bin/env bash
# CAP_PROP_FRAME_COUNT is three times the truth for a whole video.
#
# Version:  opencv-python-headless 5.0.0.93; files made with PyAV 18.1.0 (x264)
# Expected: A video of 60 frames announces 60, or 0 where its container has no count.
# Seen:     Variable frame rate in Matroska: 205 announced, the duration times a nominal rate. The H.264 of an MP4
#           copied into AVI: 1,189, as the header counts ticks of another clock. Both hold all of their 60 frames, and
#           read() returns exactly these.
# Costs:    Whoever compares frames read with frames announced calls whole videos damaged; an index that trusts the
#           count seeks past the end.
# Instead:  The end of a video is where the demuxer ends; count by demuxing packets where a number is needed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6 opencv-python-headless==5.0.0.93 av==18.1.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
from av.bitstream import BitStreamFilterContext

FRAMES = [np.full((240, 320, 3), i * 4, np.uint8) for i in range(60)]


def encode(path, times):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for picture, time in zip(FRAMES, times):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def count(path):
    capture = cv2.VideoCapture(path)
    announced, read = capture.get(cv2.CAP_PROP_FRAME_COUNT), 0
    while capture.read()[0]:
        read += 1
    print(f"{path}: {announced:.0f} announced, {read} read")
    return announced, read


steady = [i * 33 for i in range(60)]
slower = [i * 33 if i < 30 else 990 + (i - 30) * 200 for i in range(60)]
encode("steady.mp4", steady)
encode("slower.mkv", slower)
with av.open("steady.mp4") as source, av.open("copied.avi", "w") as target:
    stream = target.add_stream_from_template(source.streams.video[0])
    to_avi = BitStreamFilterContext("h264_mp4toannexb", source.streams.video[0], stream)
    for packet in source.demux(video=0):
        for piece in to_avi.filter(packet if packet.dts is not None else None):
            piece.stream = stream
            target.mux(piece)
plain, variable, copied = count("steady.mp4"), count("slower.mkv"), count("copied.avi")
seen = {
    "steady MP4: 60 and 60": plain == (60, 60),
    "variable rate in Matroska: more than 120 announced, 60 read": variable[0] > 120 and variable[1] == 60,
    "copied into AVI: more than 110 announced, 60 read": copied[0] > 110 and copied[1] == 60,
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
