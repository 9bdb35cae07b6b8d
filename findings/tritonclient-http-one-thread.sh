#!/usr/bin/env bash
# A Triton client over HTTP answers only the thread that asked first, also when threads take turns.
#
# Version:  tritonclient 2.69.0 with gevent 26.9.0
# Expected: A client may be handed from one thread to another as long as one call ends before the next begins: opened
#           and checked in the main thread, then used by the thread that inspects.
# Seen:     After one answered question in the main thread, the same question in a second thread ends in
#           greenlet.error "Cannot switch to a different thread": the idle kept-alive connection belongs to the first
#           thread's event loop. It is no InferenceServerException and no OSError, so code that handles those misses it.
#           The client is whole afterwards in its first thread, and a client made in the second thread answers there.
# Costs:    A program that says at its start that the server is there, and fails on its first frame.
# Instead:  One client for each thread (threading.local), or tritonclient.grpc, which threads share.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check 'tritonclient[http]==2.69.0' gevent==26.9.0
cd "$work"
"$work/venv/bin/python" - <<'PY'
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import greenlet
import tritonclient.http


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"name": "triton", "version": "2.51.0"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"127.0.0.1:{server.server_address[1]}"


def asked(client):
    try:
        return client.get_server_metadata()["name"]
    except Exception as error:
        return error


def elsewhere(question):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(question).result(30)


client = tritonclient.http.InferenceServerClient(address)
first = asked(client)
other = elsewhere(lambda: asked(client))
again = asked(client)
own = elsewhere(lambda: asked(tritonclient.http.InferenceServerClient(address)))
print(f"main thread {first!r}; another {type(other).__name__}: {str(other).splitlines()[0]}; main {again!r}; own {own!r}")
seen = {
    "the first thread is answered": first == "triton",
    "another one is not": isinstance(other, greenlet.error),
    "the first thread is answered again": again == "triton",
    "a client of its own is": own == "triton",
}
for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
raise SystemExit(not all(seen.values()))
PY
