"""A Hub of model repositories on this machine: the few routes of huggingface.co that uploading and downloading take."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class StandInHub:
    """Repositories as dicts from file name to content, one per commit, behind an HTTP server on the loopback."""

    token = "hf_secret"

    def __init__(self):
        hub = self
        self.commits = {}  # repository -> list of (sha, files)
        self.private = set()
        self.messages = []
        self.requests = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                hub.requests.append((self.command, self.path))
                status, headers, content = hub.answer(
                    self.command, self.path.split("?")[0], body, self.headers.get("Authorization")
                )
                if not isinstance(content, bytes):
                    headers, content = {"Content-Type": "application/json", **headers}, json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = answer  # the names that http.server looks for

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 64  # a client downloads in many threads

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def files(self, repository):
        return self.commits[repository][-1][1]

    def commit(self, repository, files):
        sha = hashlib.sha1(json.dumps([repository, len(self.commits[repository])]).encode()).hexdigest()
        self.commits[repository].append((sha, files))
        return sha

    def answer(self, method, path, body, authorization):
        may = authorization == f"Bearer {self.token}"
        if path == "/api/repos/create":
            if not may:
                return 401, {}, {"error": "no token"}
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            if name in self.commits:
                return 409, {}, {"error": "exists", "url": f"{self.url}/{name}"}
            self.commits[name] = []
            self.commit(name, {})
            if asked.get("private") or asked.get("visibility") == "private":
                self.private.add(name)
            return 200, {}, {"url": f"{self.url}/{name}", "name": name, "id": name}
        if path == "/api/validate-yaml":
            return 200, {}, {"errors": [], "warnings": []}
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(\w+)/([^/]+)/?", path)
        resolved = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        repository, what, revision = (
            found.groups() if found else (resolved[1], "resolve", resolved[2]) if resolved else (None, None, None)
        )
        if repository not in self.commits or (repository in self.private and not may):
            return 404, {"X-Error-Code": "RepoNotFound"}, {"error": "Repository not found"}
        at = next((entry for entry in self.commits[repository] if entry[0] == revision), None)
        if revision == "main":
            at = self.commits[repository][-1]
        if at is None:
            return 404, {"X-Error-Code": "RevisionNotFound"}, {"error": "Invalid rev id"}
        sha, files = at
        if what == "revision":
            return 200, {}, {"id": repository, "sha": sha, "siblings": [{"rfilename": name} for name in files]}
        if what == "tree":
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": _git_hash(content)}
                for name, content in files.items()
            ]
            return 200, {}, entries
        if what == "resolve":
            if resolved[3] not in files:
                return 404, {"X-Error-Code": "EntryNotFound"}, {"error": "Entry not found"}
            content = files[resolved[3]]
            return 200, {"ETag": f'"{_git_hash(content)}"', "X-Repo-Commit": sha}, content
        if not may:
            return 403, {}, {"error": "no token"}
        if what == "preupload":
            asked = json.loads(body)["files"]
            return (
                200,
                {},
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]},
            )
        if what == "commit":
            files = dict(files)
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "header":
                    self.messages.append(value["summary"])
                elif line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
            sha = self.commit(repository, files)
            return 200, {}, {"success": True, "commitOid": sha, "commitUrl": f"{self.url}/{repository}/commit/{sha}"}
        return 404, {}, {"error": "no such route"}


def _git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
