"""Has the real `wandb sync` upload a run to a server on loopback, and compares what arrives.

    sync.py RUN

RUN is as check.py has it. The server answers the few calls that the program makes; it shows that the
program understands the run, not what the real service makes of it. Ends with 1 and a line for each
thing that is wrong.
"""

import gzip
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import traceback

from run_files import Run

failures = []


def same(kind, found, expected):
    print(f"{kind}: {'same' if found == expected else 'differs'}")
    if found != expected:
        failures.append(f"{kind}: found {str(found)[:500]}, expected {str(expected)[:500]}")


class Arrived:
    """What was uploaded."""

    def __init__(self):
        self.lock = threading.Lock()
        self.runs, self.lines, self.files, self.artifacts = [], {}, {}, {}
        self.exit = None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body, arrived = self.body(), self.server.arrived
        answer = {}
        with arrived.lock:
            if self.path == "/graphql":
                question = json.loads(body)
                call = CALLS.get(question.get("operationName"))
                if call:
                    answer = {"data": call(question["variables"], arrived, self.server.address)}
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
        """The program closes connections when it likes; anything else is a fault of this server."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            failures.append(traceback.format_exc())


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


def create_artifact(asked, *_):
    artifact = {"id": str(asked["input"]["aliases"][0]["alias"]), "state": "PENDING", "artifactSequence": {"id": "sequence"}}
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
    "UpsertBucket": upsert_bucket,
    "CreateArtifact": create_artifact,
    "CreateArtifactManifest": create_manifest,
    "UpdateArtifactManifest": update_manifest,
    "CreateArtifactFiles": create_artifact_files,
    "CommitArtifact": commit_artifact,
    "CreateRunFiles": create_run_files,
}


def upload(folder):
    """Runs `wandb sync` on an offline run; gives what arrived."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        own = {"HOME": home, "WANDB_BASE_URL": server.address, "WANDB_API_KEY": "0" * 40, "WANDB_ERROR_REPORTING": "false"}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_") and "proxy" not in key.lower()}
        program = pathlib.Path(sys.executable).with_name("wandb")
        try:
            ran = subprocess.run([program, "sync", folder.resolve()], cwd=home, env=kept | own, capture_output=True, text=True, timeout=90)
        except subprocess.TimeoutExpired as hung:
            sys.exit(f"{hung}\n{hung.stderr}\n" + "\n".join(failures))
    server.shutdown()
    print(ran.stdout, ran.stderr)
    same("status", ran.returncode, 0)
    same("program is content", "Finished syncing" in ran.stderr and "rror" not in ran.stderr, True)
    return server.arrived


def tree(folder):
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


def main():
    run = Run(sys.argv[1])
    (folder,) = (run.root / "wandb").glob("offline-run-*")
    files = {path.relative_to(folder / "files").as_posix(): path.read_bytes() for path in (folder / "files").rglob("*.png")}
    checkpoints = tree(run.root / "checkpoints")
    arrived = upload(folder)
    first = arrived.runs[0]
    asked = {"entity": run.settings["wandb_entity"], "project": run.settings["wandb_project"], "displayName": run.settings["wandb_name"], "tags": run.settings["wandb_tags"]}
    same("project, name and tags", {key: first[key] for key in asked}, asked)
    config = {key: value["value"] for key, value in json.loads(first["config"]).items()}
    same("config", {key: config.get(key) for key in run.settings}, run.settings)
    numbers = run.numbers()
    lines = {line["_step"]: line for line in arrived.lines.values()}
    same("lines", len(lines) == len(arrived.lines), True)
    same("steps", sorted(lines), sorted(numbers))
    same("numbers", {step: {name: lines[step].get(name) for name in names} for step, names in numbers.items()}, numbers)
    same("pictures", {name: data for name, data in arrived.files.items() if name.endswith(".png")}, files)
    same("exit", arrived.exit, 0)
    of = lambda epoch: {name.split("/", 1)[1]: data for name, (data, _) in checkpoints.items() if name.startswith(f"epoch-{epoch:06}/")}
    # Each artifact came under the first of its aliases, which is "latest" where one checkpoint is both.
    kept = {"latest": max(run.metrics)} | ({"best": run.best()} if run.best() != max(run.metrics) else {})
    expected = {f"{alias}/{name}": data for alias, epoch in kept.items() for name, data in of(epoch).items()}
    uploaded = {name.removeprefix("artifact/"): data for name, data in arrived.artifacts.items()}
    same("checkpoints", {name: data for name, data in uploaded.items() if "/" in name}, expected)
    # wandb removes what it has uploaded; a run's own files are not its to touch.
    same("checkpoints of the run", tree(run.root / "checkpoints"), checkpoints)
    print("\n".join(failures))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
