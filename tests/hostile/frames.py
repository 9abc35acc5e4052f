"""HTTP/2 and gRPC by hand, for frames that no library would send."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
TIMEOUT = 2


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """Returns a frame, which may state another length."""
    length = len(payload) if length is None else length
    return length.to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """Returns a header field without index and without Huffman code (RFC 7541, section 6.2.2)."""

    def text(word):
        word = word.encode() if isinstance(word, str) else word
        return integer(len(word)) + word

    return b"\0" + text(name) + text(value)


def integer(number):
    """Returns an integer with a prefix of seven bits (RFC 7541, section 5.1)."""
    if number < 127:
        return bytes([number])
    rest, digits = number - 127, b"\x7f"
    while rest >= 128:
        digits += bytes([rest % 128 + 128])
        rest //= 128
    return digits + bytes([rest])


def request(path, *more):
    """Returns the header block of a gRPC call."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
              ("te", "trailers"), ("content-type", "application/grpc"), *more]  # fmt: skip
    return b"".join(literal(name, value) for name, value in fields)


def call(path, stream=1, *more):
    return frame(HEADERS, END_HEADERS, stream, request(path, *more))


def message(content, length=None, is_compressed=0):
    """Returns a message of gRPC, which may state another length."""
    return bytes([is_compressed]) + struct.pack(">I", len(content) if length is None else length) + content


def data(content, stream=1, flags=0):
    """Returns the content as DATA frames of at most 16 KiB."""
    parts = [content[at : at + 16384] for at in range(0, len(content), 16384)]
    return b"".join(frame(DATA, flags if part is parts[-1] else 0, stream, part) for part in parts)


def send(port, content):
    """Sends bytes on a new connection and reads the answer, until the peer closes or falls silent. The peer may close
    before it has read all, or refuse the connection."""
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
    except OSError:
        pass
    return answer


def answers(port):
    """Returns whether a server still speaks HTTP/2."""
    return send(port, PREFACE + frame(SETTINGS))[3:4] == bytes([SETTINGS])
