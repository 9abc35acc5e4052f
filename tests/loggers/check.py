"""Reads a run's logs with the real TensorBoard and the real wandb, and compares them with its files.

    check.py RUN

RUN is the folder of a run with --tensorboard, --wandb_logging, --record-batches and an evaluation
after every epoch. Prints how much was compared; ends with 1 and a line for each thing that is wrong.
"""

import base64
import collections
import hashlib
import io
import json
import pathlib
import sys

import numpy
from PIL import Image
from run_files import Run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from wandb.proto import wandb_internal_pb2
from wandb.sdk.internal.datastore import DataStore

compared, failures = collections.Counter(), []

# The names of alcazar90/ddpo-celebahq, and ours.
UPSTREAM = {
    "mean_reward": "reward_mean",
    "std_reward": "reward_std",
    "min_reward": "reward_min",
    "max_reward": "reward_max",
    "pg_loss": "loss",
    "average policy loss": "loss",
    "pct_clipped_ratios": "clip_fraction",
    "KL (current vs old policy)": "approx_kl",
    "learning_rate": "lr",
    "eval_mean_reward": "eval_reward_mean",
    "reward_hist": "rewards",
    "prob_ratio": "ratios",
    "img batch": "samples",
    "eval img batch": "evaluation",
}


def same(kind, found, expected, where=""):
    compared[kind] += 1
    if found != expected:
        failures.append(f"{kind} {where}: found {str(found)[:300]}, expected {str(expected)[:300]}")


def near(kind, found, expected, where, tolerance):
    compared[kind] += 1
    if not abs(found - expected) <= tolerance * max(1.0, abs(expected)):
        failures.append(f"{kind} {where}: found {found!r}, expected {expected!r}")


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.mode, image.size, image.tobytes()


def spread(kind, where, counts, edges, values, line):
    """A histogram's counts against numpy's of the same values; of ratios there is only the mean."""
    if values is None:
        same(f"{kind} count", sum(counts), line["pairs"], where)
        return
    expected = numpy.histogram(values.astype(numpy.float64), bins=edges)[0]
    if where.startswith("advantages"):
        # Computed again in f64, a value may lie beyond the next edge.
        same(f"{kind} count", sum(counts), len(values), where)
    else:
        same(f"{kind} bins", [int(count) for count in counts], expected.tolist(), where)


def tensorboard(run):
    log = EventAccumulator(str(run.root / "tensorboard"), size_guidance={kind: 0 for kind in ("scalars", "histograms", "images", "tensors")})
    log.Reload()
    numbers = run.numbers()
    found = collections.defaultdict(dict)
    for tag in log.Tags()["scalars"]:
        known = {name for step in numbers.values() for name in step}
        name = tag if tag in known else tag.split("/", 1)[1]
        for event in log.Scalars(tag):
            same("TensorBoard step given once", name in found[event.step], False, f"{tag} {event.step}")
            found[event.step][name] = event.value
    same("TensorBoard names", {step: sorted(names) for step, names in found.items()}, {step: sorted(names) for step, names in numbers.items()})
    for step, names in numbers.items():
        for name, number in names.items():
            # The format's numbers are f32: the nearest, nothing else.
            same("TensorBoard scalars", found[step].get(name), float(numpy.float32(number)), f"{name} {step}")
    spreads = {(step, f"distribution/{name}"): (name, values) for step, names in run.values().items() for name, values in names.items()}
    for tag in log.Tags()["histograms"]:
        for event in log.Histograms(tag):
            name, values = spreads.pop((event.step, tag))
            tensorboard_spread(event, name, values, run.metrics.get(event.step))
    same("TensorBoard histograms that are missing", list(spreads), [])
    pictures = {(step, f"pictures/{name}"): path for step, names in run.pictures().items() for name, path in names.items()}
    for tag in log.Tags()["images"]:
        for event in log.Images(tag):
            path = pictures.pop((event.step, tag))
            mode, size, data = pixels(event.encoded_image_string)
            same("TensorBoard pictures", (mode, size, data), pixels(path.read_bytes()), f"{tag} {event.step}")
            same("TensorBoard sizes", (event.width, event.height), size, f"{tag} {event.step}")
    same("TensorBoard pictures that are missing", list(pictures), [])
    table = log.Tensors("settings/text_summary")
    same("TensorBoard settings given once", len(table), 1)
    table = table[0].tensor_proto.string_val[0].decode()
    data = plugin_data_pb2.HParamsPluginData.FromString(log.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
    hparams = data.session_start_info.hparams
    for key, value in run.settings.items():
        same("TensorBoard settings", f"| {key} |" in table, True, key)
        if isinstance(value, (int, float, str)):
            kind = hparams[key].WhichOneof("kind")
            same("TensorBoard hyperparameters", (kind, getattr(hparams[key], kind)), hyperparameter(value), key)


def hyperparameter(value):
    if isinstance(value, bool):
        return "bool_value", value
    return ("string_value", value) if isinstance(value, str) else ("number_value", float(value))


def tensorboard_spread(event, name, values, line):
    where, histogram = f"{name} {event.step}", event.histogram_value
    low = histogram.min if histogram.min < histogram.max else histogram.min - 0.5
    spread("TensorBoard histogram", where, histogram.bucket, [low, *histogram.bucket_limit], values, line)
    same("TensorBoard histogram number", sum(histogram.bucket), histogram.num, where)
    if values is None:
        near("TensorBoard histogram mean", histogram.sum / histogram.num, line["ratio_mean"], where, 1e-6)
        return
    values = values.astype(numpy.float64)
    tolerance = 1e-6 if name == "advantages" else 1e-12
    for field, expected in [("sum", values.sum()), ("min", values.min()), ("max", values.max()), ("sum_squares", (values**2).sum())]:
        near(f"TensorBoard histogram {field}", getattr(histogram, field), expected, where, tolerance)


def records(path):
    store = DataStore()
    store.open_for_scan(str(path))
    while (data := store.scan_data()) is not None:
        yield wandb_internal_pb2.Record.FromString(data)
    store.close()


def items(found):
    """Returns a history's values; wandb splits objects into their fields."""
    values = {}
    for item in found:
        *outer, name = item.nested_key or [item.key]
        place = values
        for key in outer:
            place = place.setdefault(key, {})
        place[name] = json.loads(item.value_json)
    return values


def wandb(run):
    logs = list((run.root / "wandb").glob("offline-run-*/run-*.wandb"))
    same("wandb runs", len(logs), 1)
    folder = logs[0].parent
    found = collections.defaultdict(list)
    for number, record in enumerate(records(logs[0]), 1):
        same("wandb records", record.num, number)
        kind = record.WhichOneof("record_type")
        found[kind].append(getattr(record, kind))
    (about,) = found["run"]
    config = items(about.config.update)
    same("wandb config", {key: config.get(key) for key in run.settings}, run.settings)
    same("wandb id", folder.name.endswith(f"-{about.run_id}"), True)
    expected = [run.settings.get(key, default) for key, default in [("wandb_entity", ""), ("wandb_project", ""), ("wandb_name", run.root.name), ("wandb_tags", [])]]
    same("wandb run", [about.entity, about.project, about.display_name, list(about.tags)], expected)
    same("wandb exit", [record.exit_code for record in found["exit"]], [0])
    steps = {}
    for history in found["history"]:
        values = items(history.item)
        same("wandb step given once", history.step.num in steps, False, history.step.num)
        same("wandb step", values["_step"], history.step.num)
        steps[history.step.num] = values
    same("wandb order of steps", list(steps), sorted(steps))
    wandb_steps(run, steps, folder / "files")
    wandb_artifacts(run, found["artifact"])


def wandb_steps(run, steps, files):
    spreads, pictures, numbers = run.values(), run.pictures(), run.numbers()
    same("wandb steps", sorted(steps), sorted(numbers))
    for step, values in steps.items():
        for theirs, ours in UPSTREAM.items():
            same("wandb upstream names", values.pop(theirs, None), values.get(ours), f"{theirs} {step}")
        for name in ("_step", "_timestamp", "_runtime"):
            same("wandb own values", isinstance(values.pop(name), (int, float)), True, f"{name} {step}")
        for name, known in spreads[step].items():
            value = values.pop(name)
            same("wandb histogram type", value["_type"], "histogram", f"{name} {step}")
            spread("wandb histogram", f"{name} {step}", value["values"], value["bins"], known, run.metrics.get(step))
        for name, path in pictures[step].items():
            value = values.pop(name)
            data = (files / value["path"]).read_bytes()
            same("wandb pictures", pixels(data), pixels(path.read_bytes()), f"{name} {step}")
            told = (value["_type"], value["sha256"], value["size"], (value["width"], value["height"]))
            same("wandb sizes", told, ("image-file", hashlib.sha256(data).hexdigest(), len(data), pixels(data)[1]), f"{name} {step}")
        # Numbers are JSON in f64, every bit of them.
        same("wandb names", sorted(values), sorted(numbers[step]), step)
        for name, number in numbers[step].items():
            same("wandb scalars", values.get(name), number, f"{name} {step}")


def wandb_artifacts(run, found):
    # wandb adds "latest" to every artifact, and the server keeps it for the last one.
    best, last = run.best(), max(run.metrics)
    told = [(json.loads(artifact.metadata)["epoch"], set(artifact.aliases)) for artifact in found]
    expected = [(best, {"best", "latest"})] + ([(last, {"latest"})] if last != best else [])
    same("wandb artifacts", told, expected)
    for artifact in found:
        checkpoint = run.root / f"checkpoints/epoch-{json.loads(artifact.metadata)['epoch']:06}"
        paths = sorted(str(path.relative_to(checkpoint)) for path in checkpoint.rglob("*") if path.is_file())
        same("wandb artifact's files", sorted(entry.path for entry in artifact.manifest.contents), paths)
        for entry in artifact.manifest.contents:
            data = (checkpoint / entry.path).read_bytes()
            digest = base64.b64encode(hashlib.md5(data).digest()).decode()
            same("wandb artifact's digests", (entry.digest, entry.size), (digest, len(data)), entry.path)
            same("wandb artifact's bytes", pathlib.Path(entry.local_path).read_bytes() == data, True, entry.path)


def main():
    run = Run(sys.argv[1])
    tensorboard(run)
    wandb(run)
    for kind, count in sorted(compared.items()):
        print(f"{count:6} {kind}")
    print("\n".join(failures[:20]))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
