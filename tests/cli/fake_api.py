# SPDX-License-Identifier: GPL-2.0-or-later
"""A control API that answers what a test tells it to, and remembers what it was asked."""

import http.server
import json
import os
import socketserver
import sys
import threading


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 16

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client may leave before the answer
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "unix"

    def log_message(self, *arguments):
        pass

    def _serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.server.fake.requests.append((self.command, self.path, json.loads(body) if body else None))
        status, answer = self.server.fake.answers.get((self.command, self.path), (404, {"error": "nothing here"}))
        if callable(answer):
            status, answer = answer(json.loads(body) if body else None)
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_DELETE = _serve


class FakeApi:
    def __init__(self, path):
        self.path = str(path)
        self.answers = {}
        self.requests = []

    def answer(self, method, path, answer, status=200):
        """`answer`: JSON, bytes as they are, or a function of the body that gives (status, JSON)."""
        self.answers[(method, path)] = (status, answer)

    def __enter__(self):
        self._server = _Server(self.path, _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *unused):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        os.unlink(self.path)
