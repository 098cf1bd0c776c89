"""A no-op endpoint: reads each request whole and answers `{}`. What a client costs by itself is measured against it.

Run as a program it prints its address and serves until it is killed.
"""

from __future__ import annotations

import asyncio

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-amzn-requestid: sink\r\ncontent-length: 2\r\n\r\n{}"


class Sink(asyncio.Protocol):
    """Counts bytes instead of parsing: only Content-Length is looked for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.head = b""
        self.missing = 0

    def data_received(self, data: bytes) -> None:
        while data:
            if self.missing:
                self.missing -= len(data)
                if self.missing > 0:
                    return
                data = data[len(data) + self.missing :] if self.missing else b""
                self.missing = 0
                self.transport.write(ANSWER)
                continue
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            data, head, self.head = self.head[end + 4 :], self.head[:end].lower(), b""
            position = head.find(b"content-length:")
            self.missing = int(head[position + 15 :].split(b"\r\n", 1)[0]) if position >= 0 else 0
            if not self.missing:
                self.transport.write(ANSWER)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
