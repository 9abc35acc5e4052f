"""Computes the numbers of an evaluation and of a report again, with numpy and scikit-learn.

    check_numbers.py EVALUATION [REPORT]

EVALUATION is the folder that ddpo evaluate wrote, REPORT one that ddpo report wrote with that
evaluation in it. Nothing of ddpo's is used but its files: rewards.csv, the images, the features.
Prints the largest gap of each kind; ends with 1 and a line for each number that is wrong.
"""

import csv
import json
import pathlib
import sys

import numpy
from PIL import Image
from scipy.ndimage import uniform_filter
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import rbf_kernel

gaps, failures = {}, []


def near(kind, found, expected, tolerance=1e-9):
    """Notes the gap of two numbers, relative where they are large."""
    gap = abs(found - expected) / max(1.0, abs(expected))
    gaps[kind] = max(gap, gaps.get(kind, 0.0))
    if not gap <= tolerance:
        failures.append(f"{kind}: found {found!r}, expected {expected!r}")


def split_mix(seed, count):
    """The first words of SplitMix64, all at once: the state only counts."""
    with numpy.errstate(over="ignore"):
        word = numpy.uint64(seed) + numpy.uint64(0x9E3779B97F4A7C15) * numpy.arange(1, count + 1, dtype=numpy.uint64)
        word = (word ^ (word >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return word ^ (word >> numpy.uint64(31))


def interval(differences, seed, resamples, level):
    """Percentile bootstrap of the mean."""
    count = len(differences)
    words = split_mix(seed, count * resamples)
    chosen = ((words >> numpy.uint64(32)) * numpy.uint64(count) >> numpy.uint64(32)).astype(int)
    means = differences[chosen.reshape(resamples, count)].mean(axis=1)
    return numpy.quantile(means, [(1 - level) / 2, (1 + level) / 2])


def read_rewards(path):
    """Columns, and for each (checkpoint, eta) the noise and the values, in the order of the file."""
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    groups = {}
    for row in rows[1:]:
        noise, values = groups.setdefault((row[0], float(row[1])), ([], []))
        noise.append((int(row[2]), int(row[3])))
        values.append([numpy.float32(value) for value in row[4:]])
    return rows[0][4:], {key: (noise, numpy.array(values, dtype=numpy.float64)) for key, (noise, values) in groups.items()}


def check_summary(folder):
    columns, groups = read_rewards(folder / "rewards.csv")
    summary = json.loads((folder / "summary.json").read_text())
    bootstrap = summary["bootstrap"]
    first = next(iter(groups))[0]
    if len(summary["results"]) != len(groups):
        failures.append(f"summary.json has {len(summary['results'])} results for {len(groups)} groups")
    for result, ((checkpoint, eta), (noise, values)) in zip(summary["results"], groups.items()):
        if (result["checkpoint"], result["eta"], result["samples"]) != (checkpoint, eta, len(noise)):
            failures.append(f"summary.json: {result['checkpoint']} at {result['eta']} stands where {checkpoint} at {eta} should")
        if [column["name"] for column in result["columns"]] != columns:
            failures.append("summary.json has other columns than rewards.csv")
        base_noise, base = groups[first, eta]
        order = [base_noise.index(pair) for pair in noise]
        for at, column in enumerate(result["columns"]):
            own = values[:, at]
            near("mean", column["mean"], own.mean())
            near("std", column["std"], own.std(ddof=1) if len(own) > 1 else 0.0)
            near("ends", column["min"], own.min())
            near("ends", column["max"], own.max())
            for quantile in column["quantiles"]:
                near("quantile", quantile["value"], numpy.quantile(own, quantile["share"]))
            if (checkpoint == first) != ("difference" not in column):
                failures.append(f"{checkpoint}: the difference is there where it should not be, or the other way round")
            if "difference" in column:
                differences = own - base[order, at]
                low, high = interval(differences, bootstrap["seed"], bootstrap["resamples"], bootstrap["level"])
                near("difference", column["difference"]["mean"], differences.mean())
                near("interval", column["difference"]["low"], low)
                near("interval", column["difference"]["high"], high)
        for classifier in result.get("classifiers", []):
            lead = classifier["reward"] + "/" if classifier["reward"] else ""
            predicted = values[:, columns.index(lead + "predicted_class")]
            labels = [name.removeprefix(lead + "probability_") for name in columns if name.startswith(lead + "probability_")]
            if [one["class"] for one in classifier["classes"]] != labels:
                failures.append(f"classes of {classifier['reward']}: {classifier['classes']}")
            for index, one in enumerate(classifier["classes"]):
                near("class share", one["share"], (predicted == index).mean())
                # The likeliest class is the one with the highest probability.
            probabilities = values[:, [columns.index(lead + "probability_" + label) for label in labels]]
            if not (probabilities.argmax(axis=1) == predicted).all():
                failures.append(f"{classifier['reward']}: the predicted class is not the likeliest")
    return groups


def normalised(image):
    """Grey levels without local mean and contrast: windows of 7x7 pixels, edges repeated."""
    local = lambda levels: uniform_filter(levels, 7, mode="nearest")
    grey = image @ [0.299, 0.587, 0.114]
    mean = local(grey)
    variance = numpy.maximum(local(grey**2) - mean**2, 0)
    return (grey - mean) / numpy.sqrt(variance + 0.03**2)


def features_of(folder, checkpoint, eta, noise):
    """Pixels as rows, raw and normalised, and the network's features where they were kept."""
    name = lambda pair: folder / "images" / checkpoint / f"eta-{eta:g}" / f"{pair[0]}-{pair[1]:06}.png"
    images = [numpy.asarray(Image.open(name(pair)).convert("RGB"), dtype=numpy.float64) for pair in noise]
    side = max(images[0].shape[:2])
    if side > 32:
        sys.exit("this check takes images of at most 32 pixels, which are not averaged")
    sets = {
        "pixels": numpy.stack([image.reshape(-1) / 255 for image in images]),
        "normalised_pixels": numpy.stack([normalised(image / 255).reshape(-1) for image in images]),
    }
    kept = folder / "features" / checkpoint / f"eta-{eta:g}.npy"
    if kept.exists():
        sets["network"] = numpy.load(kept).astype(numpy.float64)
    return sets


def check_report(folder, report, groups):
    found = json.loads((report / "report.json").read_text())
    record = json.loads((folder / "evaluation.json").read_text())
    names = [checkpoint["name"] for checkpoint in record["checkpoints"]]
    eta = record["asked"]["eta"][0]
    sets = {name: features_of(folder, name, eta, groups[name, eta][0]) for name in names}
    columns = read_rewards(folder / "rewards.csv")[0]
    for line in found["rewards"]:
        at = columns.index(line["name"])
        for point in line["checkpoints"]:
            own = groups[point["checkpoint"], eta][1][:, at]
            near("report's rewards", point["mean"], own.mean())
            near("report's rewards", point["std"], own.std(ddof=1))
        low, high = interval(groups[names[-1], eta][1][:, at] - groups[names[0], eta][1][:, at], 0, 10_000, 0.95)
        near("report's intervals", line["difference"]["low"], low)
        near("report's intervals", line["difference"]["high"], high)
    judged = []
    for line in found["diversity"]:
        kind, first = line["features"], sets[names[0]][line["features"]]
        few = pairwise_distances(first[:64])
        numpy.fill_diagonal(few, numpy.inf)
        alike = numpy.median(few.min(axis=1))
        near(f"{kind}: look-alike distance", line["look_alike_distance"], alike)
        scores, typical = [], []
        for point in line["checkpoints"]:
            own = sets[point["checkpoint"]][kind]
            kernel = rbf_kernel(own, gamma=1 / (2 * alike**2))
            above = numpy.triu_indices(len(own), 1)
            values = numpy.linalg.eigvalsh(kernel / len(own))
            values = values[values > 1e-15]
            scores.append(numpy.exp(-(values * numpy.log(values)).sum()))
            near(f"{kind}: Vendi score", point["vendi"], scores[-1], 1e-7)
            near(f"{kind}: similarity", point["similarity"], kernel[above].mean(), 1e-8)
            distances = pairwise_distances(own)[above]
            typical.append(numpy.median(distances))
            near(f"{kind}: distance", point["distance"], typical[-1], 1e-8)
        left = (scores[-1] - 1) / (scores[0] - 1)
        near(f"{kind}: diversity left", line["left"], left, 1e-6)
        verdict = "collapsed" if typical[-1] < alike else "narrowed" if left < 0.5 else "kept"
        if len(first) < 32:
            verdict = None
        if line["verdict"] != verdict:
            failures.append(f"{kind}: it is called {line['verdict']}, and is {verdict}")
        judged.append((["collapsed", "narrowed", "kept", None].index(verdict), left, kind, verdict))
    if [line["features"] for line in found["diversity"]] != list(sets[names[0]]):
        failures.append(f"diversity: expected a line for each of {list(sets[names[0]])}")
    _, left, kind, verdict = min(judged)
    judgement = found["judgement"]
    near("judgement", judgement["left"], left, 1e-6)
    if (judgement["verdict"], judgement["features"], judgement["samples"]) != (verdict, kind, len(first)):
        failures.append(f"judgement: expected {verdict} by {kind}, found {judgement}")
    check_map(found["map"], sets, names)
    for line in found["classes"]:
        lead = line["reward"] + "/"
        for when, name in ((1, names[0]), (2, names[-1])):
            predicted = groups[name, eta][1][:, columns.index(lead + "predicted_class")]
            for index, row in enumerate(line["classes"]):
                near("report's classes", row[when], (predicted == index).mean())


def check_map(drawn, sets, names):
    half = len(drawn["points"]) // 2
    both = numpy.concatenate([sets[names[0]][drawn["features"]][:half], sets[names[-1]][drawn["features"]][:half]])
    peer = PCA(n_components=2, svd_solver="full").fit(both)
    expected = peer.transform(both)
    found = numpy.array([point["at"] for point in drawn["points"]])
    scale = abs(expected).max()
    for axis in (0, 1):
        # An axis may point either way.
        gap = min(abs(found[:, axis] - sign * expected[:, axis]).max() for sign in (1, -1)) / scale
        near("PCA coordinates, of their range", gap, 0.0, 1e-6)
        near("PCA variance", drawn["shares"][axis], peer.explained_variance_ratio_[axis], 1e-8)


def main():
    folder = pathlib.Path(sys.argv[1])
    groups = check_summary(folder)
    if len(sys.argv) > 2:
        check_report(folder, pathlib.Path(sys.argv[2]), groups)
    for kind, gap in gaps.items():
        print(f"{kind:32} largest gap {gap:.2e}")
    print("\n".join(failures[:40]), file=sys.stderr)
    sys.exit(1 if failures else 0)


main()
