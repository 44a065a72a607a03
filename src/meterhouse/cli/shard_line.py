"""What the process of a shard and its supervisor say to each other."""

from __future__ import annotations

import asyncio
import socket

READY = b"ready\n"
"""It answers the other shards."""
GO = b"go\n"
"""The supervisor: all shards do, and clients may come."""
LISTENING = b"listening\n"
"""It takes requests of clients."""
DRAINED = b"drained\n"
"""It takes none of clients any more, and has answered those that were under way."""


async def heard(line: socket.socket, word: bytes) -> bool:
    """Whether the other side has said the word before the line was cut."""
    loop, said = asyncio.get_running_loop(), b""
    while not said.endswith(word):
        try:
            piece = await loop.sock_recv(line, 64)
        except ConnectionError:
            return False
        if not piece:
            return False
        said += piece
    return True
