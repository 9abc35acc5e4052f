"""Trains a table of settings times seeds and writes what each setting reaches: `make bench-learning`.

Every run starts from an example of examples/, draws the same evaluation seeds before and after (512, or the table's
`evaluation_samples`), and uses one thread, so that several run side by side. After an interruption the command trains
only the runs that are not finished. For each arm and task the table has the median, smallest and largest value over the
seeds of

- the reward of the evaluation before and after (over50: the share of samples that the classifier sees as fifty or older;
  jpeg: mean size in bytes),
- queries: samples that were drawn for training,
- CPU-minutes of the whole process, evaluations included,
- the diversity kept: the Vendi score above 1 relative to the pretrained model's, the lowest of the report's measures on
  the images that the run keeps of its evaluations.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import tomllib

import machine
from epochs import spread

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
EVALUATION_SAMPLES = 512


def main():
    arguments = parse()
    table = tomllib.loads(arguments.table.read_text())
    seeds = arguments.seeds or table["seeds"]
    jobs = [
        (task, arm, seed)
        for seed in seeds
        for task in table["tasks"]
        for arm in table["arms"]
        if wanted(arguments.only, f"{task}/{arm}") and task in table["arms"][arm].get("tasks", table["tasks"])
    ]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        runs = [pool.submit(one_run, arguments, table, *job) for job in jobs]
        for job, run in zip(jobs, runs):
            result = run.result()
            print(f"{'/'.join(map(str, job)):40} {describe(result)}", flush=True)
    results = {}
    for (task, arm, _), run in zip(jobs, runs):
        results.setdefault(task, {}).setdefault(arm, []).append(run.result())
    report(results)
    if arguments.out:
        document = {"machine": machine.describe(), "threads": 1, "seeds": seeds, "tasks": summaries(results, table)}
        arguments.out.write_text(json.dumps(document, indent=1) + "\n")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ddpo", type=pathlib.Path, default=ROOT / "target/release/ddpo")
    parser.add_argument("--table", type=pathlib.Path, default=HERE / "learning.toml")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "runs/learning", help="where runs are kept")
    parser.add_argument("--only", action="append", default=[], help="arms whose TASK/ARM contains this")
    parser.add_argument("--seeds", type=int, nargs="*", help="other seeds than the table's")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs side by side")
    parser.add_argument("--out", type=pathlib.Path, help="the results as JSON")
    return parser.parse_args()


def wanted(only, name):
    return not only or any(part in name for part in only)


def one_run(arguments, table, task, arm, seed):
    """Trains one run, unless it is finished, and returns its figures."""
    folder = arguments.folder / f"{task}-{arm}-{seed}"
    cost = folder / "cost.json"
    if not cost.exists():
        shutil.rmtree(folder, ignore_errors=True)
        settings = table["arms"][arm]["settings"] | table["arms"][arm].get(task, {})
        config = tomllib.loads((ROOT / table["tasks"][task]["config"]).read_text()) | settings
        config["num_eval_samples"] = table.get("evaluation_samples", EVALUATION_SAMPLES)
        seconds = train(arguments.ddpo, config, folder, seed)
        cost.write_text(json.dumps({"cpu_seconds": seconds}))
    return figures(arguments.ddpo, folder, task)


def train(ddpo, config, folder, seed):
    """Runs `ddpo train`; returns the seconds of processor that it took."""
    config |= {
        "output_dir": str(folder),
        "run_seed": seed,
        "threads": 1,
        "eval_every_each_epoch": config["num_epochs"],
        "checkpoint_every": config["num_epochs"],
    }
    flags = [word for name, value in config.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    process = subprocess.Popen(
        [ddpo, "train", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    reader.start()
    _, status, usage = os.wait4(process.pid, 0)
    reader.join()
    if status:
        sys.exit(f"{folder.name}: ended with {os.waitstatus_to_exitcode(status)}: {''.join(lines)[-400:]}")
    return usage.ru_utime + usage.ru_stime


def figures(ddpo, folder, task):
    """Returns the figures of a finished run."""
    page = folder / "report" / "report.json"
    if not page.exists():
        command = [ddpo, "report", folder, "--no-sampling"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    report = json.loads(page.read_text())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kept = min(kept_of(one) for one in report["diversity"])
    return {
        **rewards_of(folder, task),
        "queries": len(lines) * settings_of(folder)["num_samples_per_epoch"],
        "cpu_minutes": json.loads((folder / "cost.json").read_text())["cpu_seconds"] / 60,
        "kept": kept,
    }


def kept_of(diversity):
    """Returns the Vendi score above 1 of the last checkpoint, relative to the first one's."""
    scores = [one["vendi"] for one in diversity["checkpoints"]]
    return (scores[-1] - 1) / (scores[0] - 1)


def settings_of(folder):
    return tomllib.loads((folder / "run.toml").read_text())


def rewards_of(folder, task):
    """Returns what the task is about, before and after, by the run's own evaluations."""
    lines = [json.loads(line) for line in (folder / "eval" / "rewards.jsonl").read_text().splitlines()]
    component = {"over50": "classified_50_or_older", "jpeg": "jpeg_kilobytes"}[task]
    unit, scale = ("percent", 100) if task == "over50" else ("kilobytes", 1)
    first, last = (scale * lines[at]["components"][component]["mean"] for at in (0, -1))
    return {f"before_{unit}": first, f"after_{unit}": last}


def describe(result):
    return "  ".join(f"{name} {value:.3f}" for name, value in result.items())


def summaries(results, table):
    out = {}
    for task, arms in results.items():
        for arm, runs in arms.items():
            settings = table["arms"][arm]["settings"] | table["arms"][arm].get(task, {})
            values = {name: spread([run[name] for run in runs]) for name in runs[0]}
            out.setdefault(task, {})[arm] = {"settings": settings, **values}
    return out


def report(results):
    for task, arms in results.items():
        print(f"\n{task}: median (smallest to largest)")
        for arm, runs in arms.items():
            cells = []
            for name in runs[0]:
                values = spread([run[name] for run in runs])
                cells.append(f"{name} {values['median']:.3f} ({values['min']:.3f} to {values['max']:.3f})")
            print(f"  {arm:16} {'  '.join(cells)}")


if __name__ == "__main__":
    main()
