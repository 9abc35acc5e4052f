"""A server on loopback that answers the few calls of wandb that a run needs, and keeps what arrives."""

import gzip
import http.server
import json
import os
import re
import sys
import threading
import traceback

# Errors of the server.
faults = []


class Arrived:
    """The uploaded data of a run."""

    def __init__(self):
        self.lock = threading.Lock()
        self.runs, self.lines, self.files, self.artifacts = [], {}, {}, {}
        self.exit = None

    def last(self):
        """Returns the last line of the history."""
        return self.lines[max(self.lines)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body, arrived = self.body(), self.server.arrived
        answer = {}
        with arrived.lock:
            if self.path == "/graphql":
                question = json.loads(body)
                call = CALLS.get(re.search(r"(?:query|mutation) (\w+)", question["query"])[1])
                if call:
                    answer = {"data": call(question.get("variables") or {}, arrived, self.server.address)}
            elif self.path.endswith("/file_stream"):
                self.stream(json.loads(body), arrived)
        self.answer(answer or {"data": {}})

    def do_PUT(self):
        body = self.body()
        with self.server.arrived.lock:
            kind, name = self.path.lstrip("/").split("/", 1)
            kept = self.server.arrived.files if kind == "run" else self.server.arrived.artifacts
            kept[name] = body
        self.answer({})

    def do_GET(self):
        self.answer({})

    def stream(self, part, arrived):
        for number, line in enumerate(part.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])):
            arrived.lines[part["files"]["wandb-history.jsonl"]["offset"] + number] = json.loads(line)
        if part.get("complete"):
            arrived.exit = part["exitcode"]

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def answer(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.address, self.arrived = f"http://127.0.0.1:{self.server_port}", Arrived()

    def handle_error(self, *_):
        """Ignores connections that the client closes; other errors are faults of this server."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            faults.append(traceback.format_exc())


def upsert_bucket(asked, arrived, _):
    arrived.runs.append(asked)
    owner = {"id": "entity", "name": asked["entity"]}
    bucket = {
        "id": "run",
        "name": asked["name"],
        "displayName": asked["displayName"] or "",
        "project": {"id": "project", "name": asked["project"], "entity": owner},
        "historyLineCount": 0,
    }
    return {"upsertBucket": {"bucket": bucket, "inserted": True}}


def resume_status(asked, arrived, _):
    """Describes the run as far as it has arrived."""
    bucket = None
    if arrived.lines:
        bucket = {
            "id": "run",
            "name": asked["name"],
            "displayName": "",
            "summaryMetrics": json.dumps(arrived.last()),
            "logLineCount": 0,
            "historyLineCount": len(arrived.lines),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(arrived.last())]),
            "eventsTail": "[]",
            "config": "{}",
            "tags": [],
            "notes": "",
            "wandbConfig": "{}",
        }
    entity = {"id": "entity", "name": asked["entity"]}
    return {"model": {"id": "project", "name": asked["project"], "entity": entity, "bucket": bucket}}


def create_artifact(asked, *_):
    # wandb adds "latest" to every artifact.
    alias = min(alias["alias"] for alias in asked["input"]["aliases"])
    artifact = {"id": alias, "state": "PENDING", "artifactSequence": {"id": "sequence"}}
    return {"createArtifact": {"artifact": artifact}}


def create_manifest(asked, _, address):
    file = {"id": "file", "name": asked["name"], "displayName": asked["name"], "uploadUrl": f"{address}/manifest/{asked['artifactID']}", "uploadHeaders": []}
    return {"createArtifactManifest": {"artifactManifest": {"id": "manifest", "file": file}}}


def update_manifest(asked, _, address):
    file = {"id": "file", "name": "manifest", "displayName": "manifest", "uploadUrl": f"{address}/manifest/manifest", "uploadHeaders": []}
    return {"updateArtifactManifest": {"artifactManifest": {"id": "manifest", "file": file}}}


def create_artifact_files(asked, _, address):
    node = lambda file: {
        "id": file["name"],
        "name": file["name"],
        "displayName": file["name"],
        "uploadUrl": f"{address}/artifact/{file['artifactID']}/{file['name']}",
        "uploadHeaders": [],
        "storagePath": "kept",
        "artifact": {"id": file["artifactID"]},
    }
    edges = [{"node": node(file)} for file in asked.get("input", asked)["artifactFiles"]]
    return {"createArtifactFiles": {"files": {"edges": edges}}}


def commit_artifact(asked, *_):
    return {"commitArtifact": {"artifact": {"id": asked["artifactID"], "digest": ""}}}


def create_run_files(asked, _, address):
    files = [{"name": name, "uploadUrl": f"{address}/run/{name}"} for name in asked["files"]]
    return {"createRunFiles": {"runID": "run", "uploadHeaders": [], "files": files}}


CALLS = {
    "ArtifactType": lambda *_: {"project": None},
    "Viewer": lambda *_: {"viewer": {"id": "viewer", "entity": "somebody", "username": "somebody", "flags": "{}", "teams": {"edges": []}}},
    "RunResumeStatus": resume_status,
    "UpsertBucket": upsert_bucket,
    "CreateArtifact": create_artifact,
    "CreateArtifactManifest": create_manifest,
    "UpdateArtifactManifest": update_manifest,
    "CreateArtifactFiles": create_artifact_files,
    "CommitArtifact": commit_artifact,
    "CreateRunFiles": create_run_files,
}


def environment(server, home):
    """Returns the environment for wandb with this server, without the caller's settings."""
    added = {"HOME": str(home), "WANDB_BASE_URL": server.address, "WANDB_API_KEY": "0" * 40, "WANDB_ERROR_REPORTING": "false"}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_") and "proxy" not in key.lower()}
    return kept | added


def serve():
    """Starts the server."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
