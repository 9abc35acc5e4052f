"""Adds headers to every call of a channel, calls of reflection included."""

import collections

import grpc

Details = collections.namedtuple("Details", "method timeout metadata credentials wait_for_ready compression")


class _Headers(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def __init__(self, headers):
        self._headers = headers

    def _intercept(self, continuation, details, request):
        metadata = [*(details.metadata or ()), *self._headers]
        return continuation(
            Details(
                details.method,
                details.timeout,
                metadata,
                details.credentials,
                details.wait_for_ready,
                details.compression,
            ),
            request,
        )

    intercept_unary_unary = _intercept
    intercept_unary_stream = _intercept
    intercept_stream_unary = _intercept
    intercept_stream_stream = _intercept


def with_headers(channel, headers):
    """Returns a channel that sends `headers`, pairs (name, value), with every call."""
    return grpc.intercept_channel(channel, _Headers(headers)) if headers else channel
