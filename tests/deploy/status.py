"""The status of a service, with the official client."""

import sys

import grpc
from stack import ROOT

sys.path.append(str(ROOT / "tests/clients"))
from contract import Contract  # noqa: E402
from headers import with_headers  # noqa: E402


class Service:
    """A client of a service's Inspector."""

    def __init__(self, address, token):
        channel = grpc.insecure_channel(address)
        self._contract = Contract(with_headers(channel, [("authorization", f"Bearer {token}")]))

    def status(self):
        call = self._contract.call("Inspector", "GetStatus")
        return call(self._contract.message("GetStatusRequest")(), timeout=30, wait_for_ready=True)

    def is_busy(self):
        """Returns whether the service has trajectories in flight."""
        return self.status().trajectories_in_flight > 0
