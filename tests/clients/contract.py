"""The contract ddpo.v1 from a server's reflection: message classes and methods without generated code."""

from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


class Contract:
    """Messages and methods of a server, looked up by name."""

    def __init__(self, channel):
        self._channel = channel
        self._database = ProtoReflectionDescriptorDatabase(channel)
        self._pool = DescriptorPool(self._database)

    def services(self):
        """Returns the names of the services that the server lists."""
        return sorted(self._database.get_services())

    def message(self, name):
        """Returns the class of the message `name`."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"ddpo.v1.{name}"))

    def enum(self, name):
        """Returns the numbers of the enum `name` by value name."""
        values = self._pool.FindEnumTypeByName(f"ddpo.v1.{name}").values
        return {value.name: value.number for value in values}

    def call(self, service, method):
        """Returns a callable for a method, unary or streaming as the server declares."""
        found = self._pool.FindServiceByName(f"ddpo.v1.{service}").FindMethodByName(method)
        kinds = {
            (False, False): self._channel.unary_unary,
            (False, True): self._channel.unary_stream,
            (True, True): self._channel.stream_stream,
        }
        request = message_factory.GetMessageClass(found.input_type)
        response = message_factory.GetMessageClass(found.output_type)
        return kinds[found.client_streaming, found.server_streaming](
            f"/ddpo.v1.{service}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
