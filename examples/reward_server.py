"""A reward server in Python: how red an image is.

    pip install grpcio grpcio-tools grpcio-health-checking
    python examples/reward_server.py 127.0.0.1:50060
    ddpo train --reward grpc://127.0.0.1:50060 ...

`Describe` returns the name, the unit and the components of the reward; `Score` returns one score for each image.
proto/ddpo/v1/reward.proto describes both. The same image must always have the same score: call `eval()` on a network.
"""

import pathlib
import signal
import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

# Generates the Python code of the contract at the start.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proto"))
messages, services = grpc.protos_and_services("ddpo/v1/reward.proto")


class Redness(services.RewardModelServicer):
    def Describe(self, request, context):
        return messages.DescribeResponse(name="redness", unit="levels of 255", components=["red", "others"])

    def Score(self, request, context):
        return messages.ScoreResponse(scores=[score(image) for image in request.images])


def score(image):
    # With numpy:  numpy.frombuffer(image.rgb8, numpy.uint8).reshape(image.height, image.width, 3)
    # With Pillow: PIL.Image.frombytes("RGB", (image.width, image.height), image.rgb8)
    pixels = image.width * image.height
    red, green, blue = (sum(image.rgb8[channel::3]) / pixels for channel in range(3))
    others = (green + blue) / 2
    return messages.ImageScore(reward=red - others, components=[red, others])


def main(address):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    services.add_RewardModelServicer_to_server(Redness(), server)
    status = health.HealthServicer()
    status.set("ddpo.v1.RewardModel", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    port = server.add_insecure_port(address)
    server.start()
    print(f"listening on {address.rpartition(':')[0]}:{port}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=1))
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50060")
