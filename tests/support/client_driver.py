"""Calls an official client in an environment of its own: a request on each line of standard input, an answer on each of
standard output. Runs there as a script, and knows nothing of this project.

A request names a method by the path to it from `client`, with its arguments; the first one makes the client.
"""

from __future__ import annotations

import importlib
import json
import sys
from datetime import datetime
from typing import Any


def plain(value: Any) -> Any:
    """What JSON can say of an answer."""
    if isinstance(value, datetime):
        return value.isoformat()
    for name in ("as_dict", "to_dict", "model_dump", "dict"):
        if not isinstance(value, dict) and callable(getattr(value, name, None)):
            return plain(getattr(value, name)())
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, bytes):
        return value.decode()
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if not hasattr(value, "__iter__"):
        return repr(value)
    parts = [*value]
    if parts and all(isinstance(each, bytes) for each in parts):  # the pieces of a body
        return b"".join(parts).decode()
    return [plain(each) for each in parts]


def modelled(value: Any) -> Any:
    """An argument; one that names a model of the client is made into it."""
    if isinstance(value, dict) and "__model__" in value:
        module, _, name = value.pop("__model__").rpartition(".")
        return getattr(importlib.import_module(module), name)(**value)
    return value


def told(error: Exception) -> dict[str, Any]:
    """What an exception of a client says."""
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    try:
        content = response.json() if response is not None else None
    except Exception:  # noqa: BLE001 - it has no JSON
        content = None
    return {"error": type(error).__name__, "message": str(error), "status": status, "body": content}


def main() -> None:
    """Answers until there are no more requests."""
    client: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "module" in request:
                made = importlib.import_module(request["module"])
                client = getattr(made, request["class"])(*request["args"], **request["kwargs"])
                answer: dict[str, Any] = {"result": None}
            else:
                method = client
                for name in request["call"].split("."):
                    method = getattr(method, name)
                answer = {"result": plain(method(*map(modelled, request["args"]), **request["kwargs"]))}
        except Exception as error:  # noqa: BLE001 - whatever a client raises is told
            answer = told(error)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
