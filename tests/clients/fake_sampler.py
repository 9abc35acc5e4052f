"""A third-party sampler: sends valid and invalid trajectories of an order to a rewarder.

    fake_sampler.py ADDRESS < ORDER.json

The order names run, digests, steps, shape and samples. Prints each case's receipt as a line of JSON
and exits after the last receipt.
"""

import argparse
import json
import queue
import struct
import sys
import zlib

import grpc
from contract import Contract

DEADLINE_SECONDS = 60


class Stream:
    """A stream to the rewarder: sends frames while it has credit, receives receipts."""

    def __init__(self, contract, metadata):
        self.contract = contract
        self._frames = queue.Queue()
        call = contract.call("Rewarder", "SubmitTrajectories")
        self._replies = call(
            iter(self._frames.get, None), timeout=DEADLINE_SECONDS, metadata=metadata
        )
        self._credit = 0
        self._slot = 0

    def _reply(self):
        """Takes one reply. Returns it if it is a receipt, otherwise None."""
        reply = next(self._replies)
        if reply.WhichOneof("content") == "credit":
            self._credit += reply.credit.trajectories
            return None
        return reply.receipt

    def send(self, header, states, log_probs, *, corrupt=False):
        """Sends one trajectory and returns (verdict, reason)."""
        while self._credit == 0:
            self._reply()
        self._credit -= 1
        self._slot += 1
        frame = self.contract.message("TrajectoryFrame")
        self._frames.put(frame(slot=self._slot, header=header))
        for index, state in enumerate(states):
            chunk = self.contract.message("StateChunk")(
                state=index,
                payload=state,
                payload_crc32=zlib.crc32(state) ^ (1 if corrupt else 0),
            )
            self._frames.put(frame(slot=self._slot, chunk=chunk))
        footer = self.contract.message("TrajectoryFooter")(log_probs=log_probs)
        self._frames.put(frame(slot=self._slot, footer=footer))
        while True:
            receipt = self._reply()
            if receipt is not None:
                assert receipt.slot == self._slot, (receipt.slot, self._slot)
                names = {number: name for name, number in self.contract.enum("Verdict").items()}
                return names[receipt.verdict], receipt.reason

    def close(self):
        self._frames.put(None)


def header_of(contract, order, sample, **changes):
    """Returns the header of a sample of the order, with the fields in `changes` replaced."""
    fields = {
        "trajectory_id": f"python-{order['epoch']}-{order['version']}-{sample}",
        "run_id": order["run_id"],
        "order_id": order["order_id"],
        "attempt": 1,
        "worker_id": "python",
        "incarnation": 1,
        "policy_version": order["version"],
        "track": contract.enum("Track")["TRACK_POLICY"],
        "weights_digest": bytes.fromhex(order["weights_digest"]),
        "purpose": contract.enum("Purpose")["PURPOSE_ROLLOUT"],
        "run_seed": order["run_seed"],
        "epoch": order["epoch"],
        "sample": sample,
        "scheduler_digest": bytes.fromhex(order["scheduler_digest"]),
        "dtype": contract.enum("Dtype")["DTYPE_F32"],
        "shape": contract.message("Shape")(**order["shape"]),
        "timesteps": order["timesteps"],
        "random_steps": order["random_steps"],
    }
    return contract.message("TrajectoryHeader")(**{**fields, **changes})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--token")
    arguments = parser.parse_args()
    order = json.load(sys.stdin)
    metadata = [("authorization", f"Bearer {arguments.token}")] if arguments.token else []
    channel = grpc.insecure_channel(arguments.address)
    grpc.channel_ready_future(channel).result(timeout=DEADLINE_SECONDS)
    contract = Contract(channel)
    stream = Stream(contract, metadata)

    shape = order["shape"]
    values = shape["channels"] * shape["height"] * shape["width"]
    state = struct.pack(f"<{values}f", *[0.25] * values)
    states = [state] * (len(order["timesteps"]) + 1)
    log_probs = [-1.0] * len(order["random_steps"])
    first, *rest = order["samples"]

    def report(case, verdict):
        print(json.dumps({"case": case, "verdict": verdict[0], "reason": verdict[1]}), flush=True)

    def header(sample=first, **changes):
        return header_of(contract, order, sample, **changes)

    report("valid", stream.send(header(), states, log_probs))
    report("duplicated", stream.send(header(), states, log_probs))
    stale = header(trajectory_id="python-stale", epoch=order["epoch"] + 7)
    report("stale", stream.send(stale, states, log_probs))
    huge = contract.message("Shape")(channels=3, height=1 << 20, width=1 << 20)
    report("oversized", stream.send(header(rest[0], shape=huge), [], []))
    wide = contract.message("Shape")(**{**shape, "width": shape["width"] * 2})
    report("misshapen", stream.send(header(rest[0], shape=wide), states, log_probs))
    nan = struct.pack("<f", float("nan")) + state[4:]
    report("nan", stream.send(header(rest[0]), [*states[:-1], nan], log_probs))
    between = [states[0], nan, *states[2:]]
    report("nan between", stream.send(header(rest[0]), between, log_probs))
    report("truncated", stream.send(header(rest[0]), states[:-1], log_probs))
    report("corrupt", stream.send(header(rest[0]), states, log_probs, corrupt=True))
    report("digest", stream.send(header(rest[0], weights_digest=b"\0" * 32), states, log_probs))
    for sample in rest:
        report("valid", stream.send(header(sample), states, log_probs))
    stream.close()


if __name__ == "__main__":
    main()
