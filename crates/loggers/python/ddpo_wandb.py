"""Logs a run of ddpo to Weights & Biases with the official SDK.

    python3 -c SOURCE REQUEST

ddpo starts this program as a child process. REQUEST is a JSON object with the run's folder and the
fields of `wandb.init`. Each line on standard input is a JSON object: `{"epoch": 3}` after an epoch,
`{"epoch": 3, "code": 0}` when the run ends. What to log is read from the run's folder. If standard
input ends without a code, the run's process was killed.

Each line on standard output is for the user; an empty first line reports that all modules were found.
The last line on standard error is the reason of a failure.

An online run asks the server for the last step that it has, and logs the steps after it. An offline
run is written anew by each process, because wandb loses the end of a file whose writer is killed; the
files of earlier processes are removed. So each step is logged once.
"""

import fcntl
import importlib.util
import json
import os
import pathlib
import secrets
import shutil
import sys
import time
import traceback

# Seconds to wait for the logger of a process that was killed a moment ago, and for wandb to start.
PATIENCE = 300

# Our names, and the names of alcazar90/ddpo-celebahq (`scripts/train.py`) for the same values. What
# upstream logs for each mini-batch is the mean of an epoch here.
UPSTREAM = [
    ("reward_mean", "mean_reward"),
    ("reward_std", "std_reward"),
    ("reward_min", "min_reward"),
    ("reward_max", "max_reward"),
    ("loss", "pg_loss"),
    ("loss", "average policy loss"),
    ("clip_fraction", "pct_clipped_ratios"),
    ("approx_kl", "KL (current vs old policy)"),
    ("lr", "learning_rate"),
    ("eval_reward_mean", "eval_mean_reward"),
    ("rewards", "reward_hist"),
    ("ratios", "prob_ratio"),
    ("samples", "img batch"),
    ("evaluation", "eval img batch"),
]


def flat(value, path=""):
    """Returns every number in a JSON value by its path, with / between keys and indices."""
    if isinstance(value, bool) or not isinstance(value, (dict, list, int, float)):
        return {}
    if isinstance(value, (int, float)):
        return {path: value}
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    below = f"{path}/" if path else ""
    return {name: number for key, part in parts for name, number in flat(part, f"{below}{key}").items()}


def write(path, value):
    """Writes a JSON file atomically."""
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(json.dumps(value))
    beside.replace(path)


class Folder:
    """The files of a run that are logged."""

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.wandb = self.root / "wandb"
        # Where wandb keeps copies of checkpoints until they are uploaded.
        self.copies = self.wandb / "artifacts"

    def lines_after(self, name, epoch):
        """Returns the lines of a file that belong to later epochs, by epoch."""
        path, found = self.root / name, {}
        for text in reversed(path.read_text().splitlines() if path.exists() else []):
            line = json.loads(text)
            if line["epoch"] <= epoch:
                break
            found[line["epoch"]] = line
        return found

    def histograms(self, epoch):
        """Returns counts and edges by name; runs without --wandb_logging have none."""
        path = self.wandb / f"histograms/epoch-{epoch:06}.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def checkpoints(self, epoch):
        """Returns the aliases of the best and the last checkpoint, by epoch."""
        found = {}
        best = self.root / "checkpoints/best/state.json"
        if best.exists():
            found[json.loads(best.read_text())["epoch"]] = ["best"]
        found.setdefault(epoch, []).insert(0, "latest")
        return {epoch: aliases for epoch, aliases in found.items() if self.checkpoint(epoch).is_dir()}

    def checkpoint(self, epoch):
        return self.root / f"checkpoints/epoch-{epoch:06}"


class State:
    """The run's id in Weights & Biases, and the end that was logged last."""

    def __init__(self, path):
        self.path = path
        self.value = json.loads(path.read_text()) if path.exists() else {}
        if "id" not in self.value:
            self.value["id"] = secrets.token_hex(4)

    def update(self, **fields):
        self.value.update(fields)
        write(self.path, self.value)


class Session:
    """The run in Weights & Biases, opened at the first epoch."""

    def __init__(self, request):
        self.request, self.folder = request, Folder(request["run"])
        self.state = State(self.folder.wandb / "ddpo.json")
        self.mode = mode()
        self.run, self.logged = None, -1

    def ended(self, end):
        """Returns whether an earlier process has logged everything up to the same end."""
        return self.run is None and self.state.value.get("end") == end | {"mode": self.mode}

    def open(self):
        import wandb

        request, run_id = self.request, self.state.value["id"]
        self.state.update(end=None)
        offline = self.mode == "offline"
        if offline:
            for earlier in [*self.folder.wandb.glob(f"offline-run-*-{run_id}"), self.folder.copies]:
                shutil.rmtree(earlier, ignore_errors=True)
        self.run = wandb.init(
            dir=self.folder.root,
            id=run_id,
            mode=self.mode,
            resume=None if offline else "allow",
            settings=wandb.Settings(console="off", disable_git=True, save_code=False, init_timeout=PATIENCE),
            **{key: request[key] for key in ("config", "project", "entity", "name", "tags")},
        )
        # The next step; 0 for a new run.
        self.logged = self.run.step - 1
        folder = pathlib.Path(self.run.dir).parent
        tell(f"offline run in {folder}, `wandb sync` uploads it" if offline else self.run.url or self.mode)

    def log(self, epoch):
        """Logs all steps up to an epoch that are not logged yet."""
        metrics = self.folder.lines_after("metrics.jsonl", self.logged)
        evaluations = self.folder.lines_after("eval/rewards.jsonl", self.logged)
        steps = sorted(step for step in metrics.keys() | evaluations.keys() if step <= epoch)
        if steps and self.run is None:
            self.open()
        for step in steps:
            if step > self.logged:
                values = self.values(step, metrics.get(step), evaluations.get(step))
                self.run.log(values, step=step, commit=True)
                self.logged = step

    def values(self, step, metrics, evaluation):
        """Returns all values of a step, under our names and the upstream names."""
        import wandb

        values, written = {}, []
        if evaluation:
            caption = f"after {step} epochs: mean reward {evaluation['reward_mean']:.4f}"
            written.append(("evaluation", caption, self.folder.root / f"eval/epoch-{step:06}.png"))
            values |= {f"eval_{name}": number for name, number in flat(evaluation).items()}
        if metrics:
            caption = f"epoch {step}: mean reward {metrics['reward_mean']:.4f}"
            written.append(("samples", caption, self.folder.root / f"samples/epoch-{step:06}.png"))
            values |= flat(metrics)
        for name, histogram in self.folder.histograms(step).items():
            values[name] = wandb.Histogram(np_histogram=(histogram["values"], histogram["bins"]))
        for name, caption, path in written:
            if path.exists():
                values[name] = wandb.Image(str(path), caption=caption)
                values["_timestamp"] = path.stat().st_mtime
        return values | {theirs: values[ours] for ours, theirs in UPSTREAM if ours in values}

    def finish(self, end):
        """Logs the end of the run, with its checkpoints if it finished."""
        import wandb

        if self.run is None:
            return
        if end["code"] == 0 and self.request["save_model"]:
            for epoch, aliases in self.folder.checkpoints(end["epoch"]).items():
                artifact = wandb.Artifact(f"checkpoint-{self.run.id}", "model", metadata={"epoch": epoch})
                # wandb removes uploaded files, so it gets copies.
                artifact.add_dir(str(self.folder.checkpoint(epoch)), policy="mutable", skip_cache=True)
                self.run.log_artifact(artifact, aliases=aliases)
        self.run.finish(exit_code=end["code"])
        self.state.update(end=end | {"mode": self.mode})


def mode():
    """Returns wandb's mode: its setting, or offline if neither a setting nor an API key exists."""
    import wandb

    set_to = wandb.setup().settings.mode
    if set_to != "online" or "WANDB_MODE" in os.environ:
        return {"dryrun": "offline", "run": "online"}.get(set_to, set_to)
    try:
        return "online" if wandb.login(verify=False) else "offline"
    except wandb.errors.UsageError:
        return "offline"


def lock(folder):
    """Waits until no other process logs this run, and returns the lock."""
    file = open(folder / "ddpo.lock", "w")
    begin, told = time.monotonic(), False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            waited = time.monotonic() - begin
            if waited > PATIENCE:
                sys.exit(f"another process logs {folder.parent} to Weights & Biases")
            if waited > 5 and not told:
                told = tell("waiting for another process that logs this run") is None
            time.sleep(0.1)


def tell(line=""):
    print(line, file=user, flush=True)


def main():
    # `python3 -c` searches the working folder first, which may be a run's folder with a folder `wandb`.
    sys.path[:] = [entry for entry in sys.path if entry]
    for module in ("wandb", "PIL"):
        if importlib.util.find_spec(module) is None:
            sys.exit(f"{sys.executable} has no module {module}; hint: pip install wandb pillow")
    tell()
    request = json.loads(sys.argv[1])
    folder = Folder(request["run"]).wandb
    os.environ |= {"WANDB_SILENT": "true", "WANDB_DATA_DIR": str(folder)}
    held = lock(folder)
    session = Session(request)
    for line in sys.stdin:
        message = json.loads(line)
        if "code" in message and session.ended(message):
            return tell("everything is logged already")
        session.log(message["epoch"])
        if "code" in message:
            return session.finish(message)
    if session.run is not None:
        session.run.finish(exit_code=1)
    held.close()


if __name__ == "__main__":
    # wandb and its own processes print to standard error.
    user = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        main()
    except Exception as error:
        traceback.print_exc()
        reason = str(error).partition("\n")[0]
        sys.exit(f"{type(error).__name__}: {reason}")
