"""Watches a service with the official client: reflection, health, status, live trajectories.

    watch.py ADDRESS --growing N --token TOKEN

Exits after it has seen N trajectories grow, and a thumbnail. Prints its observations as JSON.
"""

import argparse
import json

import grpc
from contract import Contract
from grpc_health.v1 import health_pb2, health_pb2_grpc

DEADLINE_SECONDS = 60


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--growing", type=int, default=3)
    parser.add_argument("--token")
    arguments = parser.parse_args()
    metadata = [("authorization", f"Bearer {arguments.token}")] if arguments.token else []

    channel = grpc.insecure_channel(arguments.address)
    grpc.channel_ready_future(channel).result(timeout=DEADLINE_SECONDS)
    contract = Contract(channel)
    health = health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(), timeout=DEADLINE_SECONDS, metadata=metadata
    )
    status = contract.call("Inspector", "GetStatus")(
        contract.message("GetStatusRequest")(), timeout=DEADLINE_SECONDS, metadata=metadata
    )
    request = contract.message("WatchTrajectoriesRequest")(with_thumbnails=True)
    growing = contract.enum("Stage")["STAGE_GROWING"]
    seen, pictures = {}, 0
    watch = contract.call("Inspector", "WatchTrajectories")
    for event in watch(request, timeout=DEADLINE_SECONDS, metadata=metadata):
        trajectory = event.trajectory
        if trajectory.stage == growing:
            steps = seen.setdefault(trajectory.trajectory_id, [])
            steps.append(trajectory.steps_done)
        pictures += event.thumbnail_png.startswith(b"\x89PNG\r\n\x1a\n")
        if sum(len(set(steps)) > 1 for steps in seen.values()) >= arguments.growing and pictures:
            break
    some = next(name for name, steps in seen.items() if len(set(steps)) > 1)
    print(
        json.dumps(
            {
                "services": contract.services(),
                "health": health_pb2.HealthCheckResponse.ServingStatus.Name(health.status),
                "service": status.service,
                "run_id": status.run_id,
                "grew": {name: steps for name, steps in seen.items() if len(set(steps)) > 1},
                "example": some,
                "pictures": pictures,
            }
        )
    )


if __name__ == "__main__":
    main()
