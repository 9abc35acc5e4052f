"""Reads from a run's files what its logs must contain: numbers, rewards and pictures of every step."""

import csv
import json
import pathlib
import struct

import numpy


def flat(value, path=""):
    """Returns every number in a JSON value by its path, with / between keys and indices."""
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        return {}
    else:
        return {path: float(value)}
    below = lambda name: f"{path}/{name}" if path else str(name)
    return {name: number for key, part in parts for name, number in flat(part, below(key)).items()}


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Run:
    """The folder of a run with recorded batches and an evaluation after every epoch."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.settings = self.state("best")["settings"]
        self.metrics = {line["epoch"]: line for line in json_lines(self.root / "metrics.jsonl")}
        self.evaluations = {line["epoch"]: line for line in json_lines(self.root / "eval/rewards.jsonl")}

    def state(self, checkpoint):
        return json.loads((self.root / "checkpoints" / checkpoint / "state.json").read_text())

    def best(self):
        """The epoch of the best checkpoint."""
        return self.state("best")["epoch"]

    def numbers(self):
        """Returns the numbers of every step by name."""
        steps = {}
        for epoch, line in self.evaluations.items():
            steps[epoch] = {f"eval_{name}": number for name, number in flat(line).items()}
        for epoch, line in self.metrics.items():
            steps.setdefault(epoch, {}).update(flat(line))
        return steps

    def values(self):
        """Returns the values of each histogram for every step; None if no file has them."""
        steps = {}
        for epoch in self.evaluations:
            with open(self.root / f"eval/epoch-{epoch:06}.csv") as file:
                rewards = [numpy.float32(row["reward"]) for row in csv.DictReader(file)]
            steps[epoch] = {"eval_rewards": numpy.array(rewards)}
        for epoch in self.metrics:
            rewards = self.recorded(epoch)
            known = {"rewards": rewards, "advantages": self.advantages(rewards), "ratios": None}
            steps.setdefault(epoch, {}).update(known)
        return steps

    def recorded(self, epoch):
        """The rewards in the safetensors file of an epoch's batch."""
        data = (self.root / f"batches/epoch-{epoch:06}.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        begin, end = json.loads(data[8 : 8 + length])["rewards"]["data_offsets"]
        return numpy.frombuffer(data[8 + length :][begin:end], "<f4")

    def advantages(self, rewards):
        """Over the epoch, the default."""
        clip = self.settings["clip_advantages"]
        rewards = rewards.astype(numpy.float64)
        return numpy.clip((rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-6), -clip, clip)

    def pictures(self):
        """Returns the PNG file of each picture for every step."""
        steps = {epoch: {"evaluation": self.root / f"eval/epoch-{epoch:06}.png"} for epoch in self.evaluations}
        for epoch in self.metrics:
            steps.setdefault(epoch, {})["samples"] = self.root / f"samples/epoch-{epoch:06}.png"
        return steps
