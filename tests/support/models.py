"""A server on loopback that answers as OpenAI's and Anthropic's APIs do, for their own libraries."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHAT_USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 7,
    "total_tokens": 37,
    "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 5},
}
RESPONSE_USAGE = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 5},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 37,
}
MESSAGE_USAGE = {
    "input_tokens": 15,
    "cache_creation_input_tokens": 5,
    "cache_read_input_tokens": 10,
    "output_tokens": 7,
}


def _chat(asked: dict[str, Any]) -> Any:
    whole = {"id": "chatcmpl-1", "created": 1, "model": "gpt-small-2026"}
    if not asked.get("stream"):
        message = {"role": "assistant", "content": "hi you"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return {**whole, "object": "chat.completion", "choices": choices, "usage": CHAT_USAGE}
    piece = {**whole, "object": "chat.completion.chunk"}
    told = [
        {**piece, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], "usage": None}
        for text in ("hi", " you")
    ]
    if (asked.get("stream_options") or {}).get("include_usage"):
        told.append({**piece, "choices": [], "usage": CHAT_USAGE})
    return [(None, each) for each in told] + [(None, "[DONE]")]


def _response(asked: dict[str, Any]) -> Any:
    text = {"type": "output_text", "text": "hi you", "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    whole = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-small-2026",
        "status": "completed",
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": RESPONSE_USAGE,
    }
    if not asked.get("stream"):
        return whole
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    delta = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "hi you", "logprobs": []}
    told = [("response.created", {"response": begun}), ("response.output_text.delta", delta)]
    told.append(("response.completed", {"response": whole}))
    return [(kind, {"type": kind, "sequence_number": number, **each}) for number, (kind, each) in enumerate(told)]


def _message(asked: dict[str, Any]) -> Any:
    whole = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-small-2026",
        "content": [{"type": "text", "text": "hi you"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": MESSAGE_USAGE,
    }
    if not asked.get("stream"):
        return whole
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**MESSAGE_USAGE, "output_tokens": 1}}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    told: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"message": begun}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("ping", {}),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "hi you"}}),
        ("content_block_stop", {"index": 0}),
        # The input is told again, without what was cached of it: what the first piece said stands.
        ("message_delta", {"delta": ended, "usage": {"input_tokens": 15, "output_tokens": 7}}),
        ("message_stop", {}),
    ]
    return [(kind, {"type": kind, **each}) for kind, each in told]


_ANSWERS = {"/v1/chat/completions": _chat, "/v1/responses": _response, "/v1/messages": _message}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = _ANSWERS[self.path](asked)
        if isinstance(answer, list):
            kind, content = "text/event-stream", b"".join(_piece(*each) for each in answer)
        else:
            kind, content = "application/json", json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _piece(kind: str | None, data: Any) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {kind}\n" if kind else "").encode() + f"data: {text}\n\n".encode()


@contextmanager
def models() -> Iterator[str]:
    """The URL of a server that runs until the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
