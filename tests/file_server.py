"""A server on this machine that gives files, well or badly."""

import contextlib
import http.server
import threading
import time
import urllib.parse
from dataclasses import dataclass, field


@dataclass
class Page:
    """What is at an address, and what goes wrong there.

    `faults` are taken one per request: an int is a status, "cut" ends the connection half way, "stall" stops sending
    half way, "other range" answers with another part than was asked for. Afterwards all is well.
    """

    body: bytes
    etag: str = ""
    headers: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)
    has_ranges: bool = True
    password: str = ""  # without it the login page comes


class FileServer:
    """`pages` by their path; `requests` has (method, path, headers, form) of each request."""

    def __init__(self):
        self.pages, self.requests, self.released = {}, [], threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self, form=None):
                outer.requests.append((self.command, self.path, dict(self.headers), form or {}))
                page = outer.pages.get(self.path)
                if page is None:
                    self.send_error(404)
                    return
                fault = page.faults.pop(0) if page.faults else None
                if isinstance(fault, int):
                    self.send_response(fault)
                    for name, value in page.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if page.password and (form or {}).get("password") != page.password:
                    self.answer(200, b"<!DOCTYPE html><form>login</form>", {"Content-Type": "text/html"})
                    return
                self.give(page, fault)

            def do_POST(self):
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.do_GET(dict(urllib.parse.parse_qsl(text)))

            def give(self, page, fault):
                headers = {**page.headers, **({"ETag": page.etag} if page.etag else {})}
                status, body = 200, page.body
                same = not self.headers.get("If-Range") or self.headers["If-Range"] == page.etag
                if page.has_ranges and self.headers.get("Range") and same:
                    start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
                    if start >= len(body):
                        self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
                        return
                    start -= fault == "other range"
                    status, body = 206, body[start:]
                    headers["Content-Range"] = f"bytes {start}-{len(page.body) - 1}/{len(page.body)}"
                self.answer(status, body, headers, fault)

            def answer(self, status, body, headers, fault=None):
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the client may have no room
                    self.wfile.write(body[: len(body) // 2] if fault in ("cut", "stall") else body)
                if fault == "stall":
                    outer.released.wait(10)
                if fault in ("cut", "stall"):
                    self.close_connection = True

            def log_message(self, *args):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.handle_error = lambda *_: None  # a client that went away
        self.url = f"http://127.0.0.1:{self.httpd.server_port}"

    @contextlib.contextmanager
    def running(self):
        thread = threading.Thread(target=self.httpd.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self.httpd.shutdown()
            thread.join()
            self.httpd.server_close()

    def until_asked(self, path, seconds=10):
        """Wait until somebody has asked for `path`."""
        end = time.monotonic() + seconds
        while not any(asked == path for _, asked, _, _ in self.requests):
            if time.monotonic() > end:
                raise TimeoutError(f"nobody asked for {path}")
            time.sleep(0.01)
