"""The run of `test_live.py` in its namespaces: starts pods, runs their probes, and writes the results."""

import fcntl
import hashlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

# Longest wait (seconds): several times the duration on two busy cores.
PATIENCE = 240

HERE = Path(__file__).resolve().parent


def plan(folder, stack, keda, programs):
    """Writes the input of the run as JSON, because the run has no YAML parser. Returns the file."""
    import environment
    import scaling
    from stacks import container, pod

    for name in ["volumes", "logs", "roots", "certificates"]:
        (folder / name).mkdir()
    services = [service["metadata"]["name"] for service in stack.of("Service")]
    (folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"127.0.0.1 {name}\n" for name in services))
    if "tls" in stack.components:
        environment.SECRETS["ddpo-tls"] = certificates(folder / "certificates")
    pods = {}
    for workload in stack.workloads():
        name = workload["metadata"]["labels"]["app.kubernetes.io/component"]
        context = pod(workload)["securityContext"]
        pods[name] = {
            "command": environment.command(workload),
            "variables": environment.variables(workload),
            "user": context["runAsUser"],
            "group": context["runAsGroup"],
            "volumes": list(volumes(folder, stack, workload, context["fsGroup"])),
            "probes": {kind: container(workload)[f"{kind}Probe"]["exec"]["command"]
                       for kind in ["startup", "liveness", "readiness"]},
            "grace": pod(workload).get("terminationGracePeriodSeconds", 30),
            "ports": {port["name"]: port["containerPort"] for port in container(workload)["ports"]},
        }
    triggers = keda.get("ScaledObject", "ddpo-sampler")["spec"]["triggers"]
    libraries = subprocess.run(["ldd", programs.folder / "ddpo"], capture_output=True, text=True).stdout
    # The path that the programs search; it may be a link.
    libtorch = {os.path.normpath(os.path.dirname(path)) for path in re.findall(r"=> (\S*libtorch\S*)", libraries)}
    written = {
        "folder": str(folder),
        "pods": pods,
        "programs": [str(programs.folder), *libtorch],
        "orders": triggers[0]["metadata"],
        "metrics": sorted(scaling.METRICS),
        "tls": "tls" in stack.components,
    }
    file = folder / "plan.json"
    file.write_text(json.dumps(written))
    return str(file)


def volumes(folder, stack, workload, group):
    """Returns the container's mounts as folders of this machine."""
    import environment
    from stacks import container

    files = environment.files(stack, workload)
    for mount in container(workload)["volumeMounts"]:
        source = folder / "volumes" / f"{workload['metadata']['name']}-{mount['name']}"
        source.mkdir()
        for path, text in files.items():
            if os.path.dirname(path) == mount["mountPath"]:
                (source / os.path.basename(path)).write_text(text)
        # As the kubelet does for `fsGroup`.
        for path in [source, *source.iterdir()]:
            os.chown(path, 0, group)
            path.chmod(0o2770 if path.is_dir() else 0o440)
        yield {"source": str(source), "path": mount["mountPath"], "writable": not mount.get("readOnly", False)}


def certificates(folder):
    """Returns the content of the Secret, made by the commands of deploy/kubernetes/README.md."""
    from stacks import FOLDER

    blocks = re.findall(r"```sh\n(.*?)```", (FOLDER / "README.md").read_text(), re.S)
    (commands,) = [block for block in blocks if block.startswith("openssl req -x509")]
    subprocess.run(["bash", "-euc", commands], cwd=folder, check=True, capture_output=True)
    return {name: (folder / name).read_text() for name in ["tls.crt", "tls.key", "ca.crt"]}


class Pods:
    """The pods of a run."""

    def __init__(self, written):
        self.written, self.folder = written, Path(written["folder"])
        self.running, self.starts, self.told = {}, 0, []

    def spawn(self, name, command, variables=None, **options):
        """Runs a command as a container of the pod would."""
        found = self.written["pods"][name]
        self.starts += 1
        root = self.folder / "roots" / str(self.starts)
        root.mkdir()
        spec = {**found, "command": command, "root": str(root), "hosts": str(self.folder / "hosts"),
                "programs": self.written["programs"], "variables": found["variables"] | (variables or {})}
        file = self.folder / "roots" / f"{self.starts}.json"
        file.write_text(json.dumps(spec))
        arguments = ["unshare", "--mount", "--propagation", "private", sys.executable, str(HERE / "pod.py"), str(file)]
        return subprocess.Popen(arguments, **options)

    def start(self, name):
        """Starts the pod's container."""
        log = open(self.folder / "logs" / name, "ab")
        self.running[name] = self.spawn(name, self.written["pods"][name]["command"], stdout=log, stderr=log)

    def ask(self, name, command, variables=None):
        """(exit status, what was said) of a command in the pod."""
        ran = self.spawn(name, command, variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said, _ = ran.communicate(timeout=60)
        return ran.returncode, said.strip()

    def probe(self, name, kind):
        """Returns whether the probe succeeds."""
        return self.ask(name, self.written["pods"][name]["probes"][kind])[0] == 0

    def log(self, name):
        """Returns the pod's log."""
        return (self.folder / "logs" / name).read_text(errors="replace")

    def until(self, what, condition):
        """Waits for a condition. At the deadline, ends the run with the last lines of the pods' logs."""
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            dead = [name for name, process in self.running.items() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                lines = [f"{name}: {line}" for name in self.running for line in self.log(name).splitlines()[-6:]]
                self.tell(what, [f"ended: {', '.join(dead)}" if dead else f"not within {PATIENCE} s", *lines])
                raise SystemExit(1)
            time.sleep(0.1)
        return found

    def tell(self, what, problems=()):
        """Records a result for `test_live.py`."""
        self.told.append([what, list(problems)])
        (self.folder / "result.json").write_text(json.dumps({"told": self.told}))

    def redis(self, *words):
        """Returns the lines of redis-cli's answer to a query of KEDA."""
        return self.ask("redis", ["redis-cli", "-e", "--raw", "-h", "ddpo-redis", *words])[1].splitlines()

    def stop(self, name):
        """Sends SIGTERM and checks that the pod exits with success within its grace period."""
        asked, process = time.monotonic(), self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        grace = self.written["pods"][name]["grace"]
        try:
            status = process.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            process.kill()
            self.tell(f"{name} ends within {grace} s of SIGTERM", self.log(name).splitlines()[-6:])
            return
        took = time.monotonic() - asked
        # Redis exits with 0 too; any other status is a failure.
        self.tell(f"{name} ends {took:.1f} s after SIGTERM, in {grace} s", [] if status == 0 else [f"status {status}"])


def up():
    """Brings the loopback interface up, which a new network namespace has down."""
    with socket.socket() as one:
        request = struct.pack("16sH14x", b"lo", 0x1 | 0x40)
        fcntl.ioctl(one, 0x8914, request)


def begin(pods, name):
    """Starts a pod, and waits for its startup probe, as the kubelet does before it asks the others."""
    pods.start(name)
    pods.until(f"{name}: the startup probe is content", lambda: pods.probe(name, "startup"))
    pods.tell(f"{name}: starts as its user on a read-only root; the startup probe is content")


def orders(pods):
    """Returns the state of the consumer group, queried like KEDA."""
    words = pods.redis("XINFO", "GROUPS", pods.written["orders"]["stream"])
    return dict(zip(words[::2], words[1::2]))


def orders_wait(pods):
    """Checks that KEDA's trigger counts the learner's orders, with the right key and group."""
    stream, group = pods.written["orders"]["stream"], pods.written["orders"]["consumerGroup"]

    def lagging():
        fields = orders(pods)
        return fields if fields.get("name") == group and fields.get("lag", "0") not in ("", "0") else None

    fields = pods.until("orders wait", lagging)
    length = pods.redis("XLEN", stream)
    wrong = [] if [fields["lag"]] == length and fields["pending"] == "0" else [f"{fields}, length {length}"]
    pods.tell(f"KEDA's stream {stream} of {group} has the lag of the orders that wait ({fields['lag']})", wrong)
    return stream


def scrape(pods, name):
    """Returns the answer of the pod's metrics port."""
    port = pods.written["pods"][name]["ports"]["metrics"]
    # Without the machine's proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        return page.read().decode()


def refusals(pods):
    """Checks that a service rejects probes without the pod's token."""
    probe = pods.written["pods"]["learner"]["probes"]["readiness"]
    status, said = pods.ask("learner", probe, {"DDPO_SERVICE_TOKEN_FILE": ""})
    pods.tell("health is refused without the token", [] if status == 1 and "authentication" in said else [said])
    if pods.written["tls"]:
        plain = {f"DDPO_SERVICE_TLS_{name}": "" for name in ["CA", "CERT", "KEY"]} | {"DDPO_SERVICE_INSECURE": "true"}
        status, said = pods.ask("learner", probe, plain)
        pods.tell("health is refused without TLS", [] if status == 1 else [said])


def confined(pods):
    """Checks that the root is read-only, and that only the pod's user can read the secrets."""
    status, said = pods.ask("learner", ["touch", "/opened"])
    wrong = [] if status != 0 and "Read-only file system" in said else [said]
    kept = pods.ask("learner", ["touch", "/runs/kept", "/cache/kept", "/tmp/kept"])
    wrong += [] if kept[0] == 0 else [kept[1]]
    modes = pods.ask("learner", ["stat", "--format=%a", "/run/ddpo/token", "/run/ddpo-redis/password"])[1]
    wrong += [] if modes.split() == ["440", "440"] else [modes]
    pods.tell("only volumes can be written to", wrong)


def run(pods):
    """Starts all pods, each after the pod that it needs, and waits for the end of the run."""
    begin(pods, "redis")
    begin(pods, "learner")
    pods.until("the learner is ready", lambda: pods.probe("learner", "readiness"))
    stream = orders_wait(pods)
    refusals(pods)
    confined(pods)
    begin(pods, "rewarder")
    pods.until("the rewarder is ready", lambda: pods.probe("rewarder", "readiness"))
    begin(pods, "sampler")
    pods.until("the sampler is ready", lambda: pods.probe("sampler", "readiness"))
    pods.tell("the readiness probes of all are content")
    found = scrape(pods, "rewarder")
    missing = [name for name in pods.written["metrics"] if not re.search(rf"^{name}[{{ ]", found, re.M)]
    pods.tell("a rewarder exports the metrics that autoscalers count by", missing)
    pods.until("the run's end", lambda: "the run is finished" in pods.log("learner"))
    finished(pods, stream)
    for name in ["sampler", "rewarder", "learner", "redis"]:
        pods.stop(name)


def finished(pods, stream):
    """Checks that the learner stays alive and not ready, and that the checkpoint is on its volume."""
    ready, live = pods.probe("learner", "readiness"), pods.probe("learner", "liveness")
    pods.tell("a learner whose run is over is alive and not ready", [] if live and not ready else [f"{live} {ready}"])
    pods.until("every order to be acknowledged", lambda: pods.redis("XLEN", stream) == ["0"])
    # Acknowledged orders are deleted; Redis must still report the lag.
    fields = orders(pods)
    idle = fields["lag"] == "0" and fields["pending"] == "0"
    pods.tell("KEDA's triggers are at zero once the run is over", [] if idle else [str(fields)])
    weights = sorted(pods.folder.glob("volumes/ddpo-learner-runs/*/checkpoints/epoch-*/unet/*.safetensors"))
    pods.tell("checkpoints are on the learner's claim", [] if weights else ["no checkpoint"])
    if weights:
        pods.digest = hashlib.sha256(weights[-1].read_bytes()).hexdigest()


def main():
    written = json.loads(Path(sys.argv[1]).read_text())
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    up()
    pods = Pods(written)
    pods.digest = None
    try:
        run(pods)
    finally:
        for process in pods.running.values():
            process.kill()
    (pods.folder / "result.json").write_text(json.dumps({"told": pods.told, "digest": pods.digest}))


if __name__ == "__main__":
    main()
