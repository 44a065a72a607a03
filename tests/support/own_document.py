"""Holds every answer of Meterhouse's own API to its OpenAPI document, whichever test asked for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from support.documents import Undocumented, read_json, validator

_SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class OwnOperation:
    """A method of a path: the media types of each status, with what validates JSON."""

    method: str
    path: re.Pattern[str]
    answers: Mapping[int, Mapping[str, Any]]


class OwnDocument:
    """Reads the document from the first server that is asked anything: it is the same for all."""

    def __init__(self) -> None:
        self._operations: list[OwnOperation] | None = None

    def hook(self, response: httpx.Response) -> None:
        """For the event hooks of an httpx client."""
        url = response.request.url
        if not url.path.startswith("/v1/"):
            return
        if self._operations is None:
            document = httpx.get(url.copy_with(path="/openapi.json", query=None), trust_env=False)
            self._operations = [*_operations(msgspec.json.decode(document.content))]
        method = {"HEAD": "GET"}.get(response.request.method, response.request.method)
        found = [one for one in self._operations if one.method == method and one.path.fullmatch(url.path)]
        if found and response.status_code != 406:
            problems = list(_problems(found[0], response))
            if problems:
                asked = f"{method} {url.path} was answered {response.status_code}, not as the document says"
                raise Undocumented("\n  ".join([asked, *problems]))


def _operations(document: dict[str, Any]) -> Iterator[OwnOperation]:
    for path, item in document["paths"].items():
        pattern = re.sub(r"\\\{[^/]*\\\}", "[^/]+", re.escape(path))
        # An event is a source with slashes of its own, and an id.
        pattern = pattern.removesuffix("[^/]+") + ".+" if path.endswith("/{event}") else pattern
        for method, operation in item.items():
            answers = {
                int(status): {
                    media: validator(content["schema"], document) if "json" in media else None
                    for media, content in answer.get("content", {}).items()
                }
                for status, answer in operation["responses"].items()
            }
            yield OwnOperation(method.upper(), re.compile(pattern), answers)


def _problems(operation: OwnOperation, response: httpx.Response) -> Iterator[str]:
    if response.status_code not in operation.answers:
        yield f"the status is none of {sorted(operation.answers)}"
        return
    media = response.headers.get("content-type", "").partition(";")[0]
    answers = operation.answers[response.status_code]
    if not answers or response.request.method == "HEAD":
        return
    if media not in answers:
        yield f"the content type is {media!r}, not one of {sorted(answers)}"
        return
    if answers[media] is None or media == "application/x-ndjson":
        return
    response.read()
    for error in answers[media].iter_errors(read_json(response.content)):
        yield f"{error.json_path}: {error.message[:_SHOWN_CHARACTERS]}"


OWN_DOCUMENT = OwnDocument()
