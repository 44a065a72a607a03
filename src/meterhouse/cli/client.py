"""One way to reach a Meterhouse: over the network, or in this process on a data folder, by the same HTTP API."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import httpx
import msgspec

from ..domain.quantity import Plain
from ..ports.chunks import Chunks
from .batches import BATCH_BYTES, BATCH_EVENTS
from .in_process import InProcess
from .terminal import Failed

if TYPE_CHECKING:
    from ..wiring import Meterhouse

Query: TypeAlias = "dict[str, str] | tuple[tuple[str, str], ...] | None"
"""Parameters; as a list where one may be repeated."""

_CERTIFICATES = "SSL_CERT_FILE"
_decoder = msgspec.json.Decoder(float_hook=Plain)


def batches(events: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The events in batches that are neither too many nor too large; one that is too large alone is sent alone."""
    batch: list[bytes] = []
    size = 0
    for event in events:
        if batch and (len(batch) == BATCH_EVENTS or size + len(event) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event) + 1
    if batch:
        yield batch


class Client:
    """Calls the API and turns problems into `Failed`."""

    def __init__(self, http: httpx.AsyncClient, runner: asyncio.Runner):
        self._http = http
        self._runner = runner

    def call(self, method: str, path: str, body: object = None, *, query: Query = None, media_type: str = "") -> Any:
        """The decoded answer, numbers exact. `body` is JSON, or bytes together with a media type. Raises `Failed`."""
        return self._read(method, path, self._ask(method, path, body, query, media_type))

    def _ask(self, method: str, path: str, body: object, query: Query, media_type: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else None if body is None else msgspec.json.encode(body)
        headers = {"content-type": media_type or "application/json"} if content is not None else {}
        try:
            return self._runner.run(self._http.request(method, path, content=content, headers=headers, params=query))
        except httpx.HTTPError as wrong:
            untrusted = "CERTIFICATE_VERIFY_FAILED" in str(wrong)
            hint = f"set {_CERTIFICATES} to its authority's certificate" if untrusted else "is the server running?"
            raise Failed(f"{self._http.base_url} does not answer: {wrong}; {hint}") from None

    def send_events(self, namespace: str, events: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        """Sends events, each in JSON on one line, in batches; gives the report of each batch."""
        for batch in batches(events):
            yield self.send_batch(namespace, batch)

    def send_batch(self, namespace: str, batch: Sequence[bytes]) -> dict[str, Any]:
        """The report of events that are sent at once, also when all of them were refused."""
        path, query = "/v1/events", {"namespace": namespace}
        response = self._ask("POST", path, b"\n".join(batch), query, "application/x-ndjson")
        report = _decoder.decode(response.content) if response.status_code == 422 else None
        if isinstance(report, dict) and "errors" in report:
            return report
        return cast("dict[str, Any]", self._read("POST", path, response))

    def download(self, path: str, query: dict[str, str] | None = None, accept: str = "*/*") -> Chunks:
        """The answer to a GET, piece by piece. Raises `Failed`, also in the middle."""
        request = self._http.build_request("GET", path, params=query, headers={"accept": accept})
        try:
            response = self._runner.run(self._http.send(request, stream=True))
            try:
                if not response.is_success:
                    self._runner.run(response.aread())
                    self._read("GET", path, response)
                chunks = response.aiter_bytes()
                while chunk := self._runner.run(anext(chunks, b"")):
                    yield chunk
            finally:
                self._runner.run(response.aclose())
        except httpx.HTTPError as wrong:
            raise Failed(f"{self._http.base_url} did not send all of {path}: {wrong}; look into its log") from None

    def get(self, path: str, headers: dict[str, str]) -> Any:
        """The decoded answer to a GET with another credential."""
        return self._read("GET", path, self._runner.run(self._http.get(path, headers=headers)))

    def _read(self, method: str, path: str, response: httpx.Response) -> Any:
        if response.is_success:
            return _decoder.decode(response.content) if response.content else None
        try:
            detail = _decoder.decode(response.content)["detail"]
        except (msgspec.DecodeError, KeyError, TypeError):
            detail = f"{method} {path} was answered with status {response.status_code}"
        raise Failed(str(detail))


@contextmanager
def remote(url: str, admin_key: str) -> Iterator[Client]:
    """A client of a server. It holds it to the certificates that the environment names, and passes the proxies that
    it names by: they are told nothing of the admin key. Raises `Failed` when the certificates cannot be read."""
    try:
        tls = httpx.create_ssl_context()
    except OSError as wrong:
        named = os.environ.get(_CERTIFICATES)
        raise Failed(
            f"{_CERTIFICATES} is {named!r}, which cannot be read: {wrong}; name a file of certificates in PEM, or none"
        ) from None
    with _client(admin_key, base_url=url, timeout=120, verify=tls, trust_env=False) as client:
        yield client


@contextmanager
def client_of(meterhouse: Meterhouse) -> Iterator[Client]:
    """A client with the admin key of a Meterhouse that is open in this process."""
    transport = InProcess(meterhouse.app)
    with _client(meterhouse.admin_key, base_url="http://meterhouse", transport=transport) as client:
        yield client


@contextmanager
def _client(admin_key: str, **options: Any) -> Iterator[Client]:
    with asyncio.Runner() as runner:
        http = httpx.AsyncClient(headers={"authorization": f"Bearer {admin_key}"}, **options)
        yield Client(http, runner)
        runner.run(http.aclose())
