"""The Python client asks a real server, and verifies what it sends."""

from __future__ import annotations

import asyncio
import base64
import gc
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from meterhouse_client import AsyncClient, Client, QuotaExceeded, Refused, Unreachable, WebhookInvalid, verify
from support.server import ADMIN_KEY, Server, event

SECRET = "whsec_" + base64.b64encode(b"a secret of the receiver's").decode()
OTHER = "whsec_" + base64.b64encode(b"another one, of before").decode()
MARCH = datetime(2026, 3, 15, tzinfo=UTC)
BODY = b'{"type":"limit.exceeded","data":{"used":1.50}}'


@pytest.fixture
def organization(server: Server) -> str:
    subscription = {"plan": None, "anchor": "2026-03-01", "interval": "P1M", "limits": {"credits": "10.5"}}
    made = server.organization("unsiloed", subscription)
    server.send(
        "unsiloed", [event("credit.used", made, {"amount": "0.1", "operation": "parse"}, at="2026-03-02T00:00:00Z")]
    )
    return made


def client(server: Server) -> Client:
    return Client(str(server.http.base_url), ADMIN_KEY)


def test_numbers_are_exact(server: Server, organization: str) -> None:
    with client(server) as asking:
        credits = asking.usage(organization)["meters"]["credits"]
        assert (credits["used"], credits["limit"]) == (Decimal("0.1"), Decimal("10.5"))
        answer = asking.query(
            "credits", organization=organization, from_=datetime(2026, 3, 1, tzinfo=UTC), to="2026-03-03", window="day"
        )
        assert [each["value"] for each in answer["meters"][0]["windows"]] == [0, Decimal("0.1")]
        with pytest.raises(ValueError, match="needs a time zone"):
            asking.query("credits", from_=datetime(2026, 3, 1))  # noqa: DTZ001 - it is what is refused


def test_what_is_reserved_is_used_or_let_go(server: Server, organization: str) -> None:
    with client(server) as asking:
        assert asking.check(organization, "credits", "10.4").allowed
        assert not asking.check(organization, "credits", Decimal("10.41")).allowed
        with asking.reserve(organization, "credits", 8) as held:
            assert asking.check(organization, "credits", 3).allowed is False
            with pytest.raises(QuotaExceeded, match="QUOTA_EXCEEDED: Insufficient quota"):
                asking.reserve(organization, "credits", 3)
            held.commit("credit.used", {"amount": 5}, amount=5, at=MARCH)
        assert asking.usage(organization)["meters"]["credits"]["used"] == Decimal("5.1")
        with pytest.raises(RuntimeError), asking.reserve(organization, "credits", 5):
            raise RuntimeError
        assert asking.check(organization, "credits", "5.4").allowed
        with pytest.raises(TypeError, match="a float is another number"):
            asking.check(organization, "credits", 0.1)  # type: ignore[arg-type]


def test_refusals_and_silence(server: Server) -> None:
    with client(server) as asking, pytest.raises(Refused, match="there is no organization 'none'") as refused:
        asking.usage("none")
    assert (refused.value.status, refused.value.code) == (404, "not_found")
    with Client("http://127.0.0.1:9", "key") as nobody, pytest.raises(Unreachable):
        nobody.usage("acme")


def test_the_same_for_programs_that_await(server: Server, organization: str) -> None:
    async def program() -> Any:
        async with AsyncClient(str(server.http.base_url), ADMIN_KEY) as asking:
            assert (await asking.check(organization, "credits", 1)).allowed
            async with asking.reserve(organization, "credits", 8) as held:
                with pytest.raises(QuotaExceeded):
                    async with asking.reserve(organization, "credits", 3):
                        pass
                await held.commit("credit.used", {"amount": 2}, at=MARCH)
            async with asking.reserve(organization, "credits", 8):
                pass
            found = await asking.query("credits", organization=organization, range="current_period")
            return (await asking.usage(organization))["meters"]["credits"]["used"], found["meters"][0]["total"]

    assert asyncio.run(program()) == (Decimal("2.1"), Decimal("2.1"))


class TestWebhooks:
    def signed(self, secret: str, body: bytes = BODY, at: datetime | None = None) -> dict[str, str]:
        """As the library of the specification signs."""
        moment = at or datetime.now(UTC)
        signature = Webhook(secret).sign("msg_1", moment, body.decode())
        return {
            "Webhook-Id": "msg_1",
            "Webhook-Timestamp": str(int(moment.timestamp())),
            "Webhook-Signature": signature,
        }

    def test_a_message_of_the_server_is_taken(self) -> None:
        assert verify(BODY, self.signed(SECRET), SECRET) == {"type": "limit.exceeded", "data": {"used": 1.5}}
        assert verify(BODY, self.signed(OTHER), [SECRET, OTHER])["type"] == "limit.exceeded"
        both = self.signed(SECRET)
        both["Webhook-Signature"] = f"v2,xx v1,aaaa {both['Webhook-Signature']}"
        assert verify(BODY, both, SECRET)["type"] == "limit.exceeded"

    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            ({"Webhook-Signature": "v1,aaaa"}, "no signature"),
            ({"Webhook-Signature": "v1,ünï"}, "no signature"),
            ({"Webhook-Id": "msg_2"}, "no signature"),
            ({"Webhook-Timestamp": str(int(time.time()) - 400)}, "not within 300 seconds"),
            ({"Webhook-Timestamp": "now"}, "not within"),
            ({"Webhook-Timestamp": "9" * 20}, "not within"),
        ],
    )
    def test_anything_else_is_not(self, changed: dict[str, str], told: str) -> None:
        with pytest.raises(WebhookInvalid, match=told):
            verify(BODY, self.signed(SECRET) | changed, SECRET)

    def test_another_body_secret_or_no_headers(self) -> None:
        with pytest.raises(WebhookInvalid, match="no signature"):
            verify(BODY + b" ", self.signed(SECRET), SECRET)
        with pytest.raises(WebhookInvalid, match="no signature"):
            verify(BODY, self.signed(OTHER), SECRET)
        with pytest.raises(WebhookInvalid, match="is missing"):
            verify(BODY, {}, SECRET)
        with pytest.raises(WebhookInvalid, match="the secret is not one"):
            verify(BODY, self.signed(SECRET), "whsec_not base64")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a loop that is closed leaves its connections to Python
def test_a_client_outlives_the_event_loop_that_it_was_used_in(server: Server) -> None:
    organization = server.organization("unsiloed")
    asking = AsyncClient(str(server.http.base_url), ADMIN_KEY)
    for _ in range(3):
        assert asyncio.run(asking.usage(organization))["meters"]
    asyncio.run(asking.aclose())
    del asking
    gc.collect()


def test_what_answers_and_is_no_meterhouse() -> None:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>sign in, please</html>")

    with HTTPServer(("127.0.0.1", 0), Handler) as front:
        threading.Thread(target=front.handle_request, daemon=True).start()
        with (
            Client(f"http://127.0.0.1:{front.server_port}", ADMIN_KEY) as asking,
            pytest.raises(Unreachable, match="200, but the answer is no JSON"),
        ):
            asking.usage("acme")
