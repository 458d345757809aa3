"""Callers that are not ours: grpcio, and gRPC-web over the standard library's HTTP client."""

import http.client
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import grpc

from tests.loopback.control.harness import TOKEN, Served

Metadata = Sequence[tuple[str, str | bytes]]
CODES = {code.value[0]: code.name for code in grpc.StatusCode}


class Result(NamedTuple):
    code: str
    message: str
    answers: list[bytes]
    trailing: dict[str, Any]


class Native:
    """A plain grpcio client of one door."""

    def __init__(
        self, served: Served, *, unix: bool, authority: str = "", tls: bytes = b""
    ) -> None:
        options = [("grpc.enable_retries", 0)]
        if authority:
            options.append(("grpc.default_authority", authority))
        target = f"unix:{served.path}" if unix else served.address
        if tls:
            options.append(("grpc.ssl_target_name_override", "localhost"))
            credentials = grpc.ssl_channel_credentials(tls)
            self.channel = grpc.secure_channel(target, credentials, options=options)
        else:
            self.channel = grpc.insecure_channel(target, options=options)

    def __enter__(self) -> "Native":
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def call(
        self, path: str, data: bytes = b"", metadata: Metadata = (), timeout_s: float = 10
    ) -> Result:
        answers: list[bytes] = []
        if path.endswith("/ServerReflectionInfo"):
            call = self.channel.stream_stream(path)(iter([data]), timeout_s, metadata)
        else:
            call = self.channel.unary_stream(path)(data, timeout_s, metadata)
        try:
            answers += call
        except grpc.RpcError:
            pass
        trailing = dict(call.trailing_metadata() or ())
        return Result(call.code().name, call.details() or "", answers, trailing)


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self._path)


class Web:
    """gRPC-web of one door."""

    def __init__(self, served: Served, *, unix: bool, authority: str = "") -> None:
        self._authority = authority
        self.http = UnixHttp(str(served.path)) if unix else _tcp(served)

    def __enter__(self) -> "Web":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def call(
        self, path: str, data: bytes = b"", metadata: Metadata = (), timeout_s: float = 10
    ) -> Result:
        headers = {"content-type": "application/grpc-web+proto"}
        headers["grpc-timeout"] = f"{int(timeout_s * 1000)}m"
        headers |= {key: str(value) for key, value in metadata}
        if self._authority:
            headers["host"] = self._authority
        self.http.request("POST", path, struct.pack(">BI", 0, len(data)) + data, headers)
        response = self.http.getresponse()
        assert response.status == 200, response.read()
        return result_of(response.read())


def result_of(body: bytes) -> Result:
    """The messages and trailers of a gRPC-web response body."""
    answers: list[bytes] = []
    while body:
        flags, size = struct.unpack_from(">BI", body)
        piece, body = body[5 : 5 + size], body[5 + size :]
        assert len(piece) == size
        if not flags & 0x80:
            answers.append(piece)
            continue
        assert body == b"", "nothing follows the trailers"
        lines = [line.split(": ", 1) for line in piece.decode().split("\r\n") if line]
        fields = dict(lines)
        code = CODES[int(fields.pop("grpc-status"))]
        return Result(code, unquote(fields.pop("grpc-message", "")), answers, fields)
    raise AssertionError("no trailers")


def _tcp(served: Served) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)


RIGHT = (("authorization", f"Bearer {TOKEN}"),)
WRONG = (("authorization", f"Bearer {'x' * 43}"),)
Caller = type[Native] | type[Web]
