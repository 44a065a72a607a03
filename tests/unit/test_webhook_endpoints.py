"""URLs, addresses and signatures of webhook endpoints."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from meterhouse.domain.errors import Invalid
from meterhouse.domain.public_address import is_public
from meterhouse.domain.webhook import EventType, SigningSecret, WebhookEndpoint, check_url, new_secret, signatures

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (new_secret(bytes([number]) * 32) for number in range(3))
ENDPOINT = WebhookEndpoint("e", "shop", "https://example.com", frozenset(), (SigningSecret(FIRST, NOW),), True, NOW)
BODY = '{"type":"test","data":{"text":"Zoë"}}'.encode()
DAY = timedelta(days=1)


def verified_by(endpoint: WebhookEndpoint, at: datetime = NOW) -> list[str]:
    """Which of the secrets the library verifies an attempt of now with."""
    # The library holds the timestamp to its own clock: sign as of now what is valid at another moment.
    valid = [each for each in endpoint.secrets if each.valid_at(at)]
    headers = signatures([replace(each, expires_at=None) for each in valid], "msg_1", datetime.now(UTC), BODY)
    found = []
    for secret in (FIRST, SECOND, THIRD):
        try:
            assert Webhook(secret).verify(BODY, headers)["type"] == "test"
        except WebhookVerificationError:
            continue
        found.append(secret)
    return found


def test_the_specifications_library_verifies_what_is_signed() -> None:
    now = datetime.now(UTC)
    headers = signatures(ENDPOINT.secrets, "msg_1", now, BODY)
    assert Webhook(FIRST).verify(BODY, headers) == {"type": "test", "data": {"text": "Zoë"}}
    for changed in ({"webhook-id": "msg_2"}, {"webhook-timestamp": str(int(now.timestamp()) - 1)}):
        with pytest.raises(WebhookVerificationError):
            Webhook(FIRST).verify(BODY, headers | changed)
    with pytest.raises(WebhookVerificationError):
        Webhook(FIRST).verify(BODY + b" ", headers)


def test_a_secret_is_as_the_specification_says() -> None:
    assert base64.b64decode(FIRST.removeprefix("whsec_")) == bytes(32)
    assert FIRST not in repr(ENDPOINT)
    assert FIRST not in repr(ENDPOINT.secrets)


def test_secrets_rotate_with_overlap() -> None:
    rotated = ENDPOINT.rotated(SECOND, NOW, DAY)
    assert verified_by(rotated) == [FIRST, SECOND]
    assert verified_by(rotated, NOW + DAY - timedelta(microseconds=1)) == [FIRST, SECOND]
    assert verified_by(rotated, NOW + DAY) == [SECOND]
    again = rotated.rotated(THIRD, NOW + DAY / 2, DAY)
    assert verified_by(again, NOW + DAY / 2) == [FIRST, SECOND, THIRD]
    assert verified_by(again, NOW + DAY) == [SECOND, THIRD]  # the first one's overlap has not grown
    assert verified_by(again, NOW + DAY * 3 / 2) == [THIRD]


def test_without_overlap_the_old_secret_is_gone() -> None:
    rotated = ENDPOINT.rotated(SECOND, NOW, timedelta())
    assert (verified_by(rotated), len(rotated.secrets)) == ([SECOND], 1)


def test_which_events_an_endpoint_takes() -> None:
    assert all(ENDPOINT.takes(kind) for kind in EventType)
    some = replace(ENDPOINT, event_types=frozenset({EventType.PERIOD_CLOSED}))
    assert [kind for kind in EventType if some.takes(kind)] == [EventType.PERIOD_CLOSED, EventType.TEST]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "url: must begin with https://, not file:"),
        ("/etc/passwd", "url: must begin with https://, not no scheme"),
        ("http://example.com/", "url: must begin with https://, not http:"),
        ("gopher://example.com", "url: must begin with https://"),
        ("https://", "url: must be like"),
        ("https:///path", "url: must be like"),
        ("https://example.com:0/", "url: must be like"),
        ("https://example.com:99999/", "is not a URL"),
        ("https://[::1/", "is not a URL"),
        ("https://exämple.com/", "url: must be like"),
        ("https://example.com/a b", "url: must be like"),
        ("https://example.com/\n", "url: must be like"),
        ("https://example.com/" + "a" * 2000, "url: must be like"),
        ("https://user:secret@example.com/", "url: must have no user"),
        ("https://example.com/#part", "url: must have no user"),
        ("https://127.0.0.1/", "is not an address of the public internet"),
        ("https://[::1]/", "is not an address of the public internet"),
        ("https://169.254.169.254/latest/meta-data", "is not an address of the public internet"),
    ],
)
def test_what_is_no_url_of_a_webhook_is_refused(url: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_url(url, private=False)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_where_any_address_is_allowed_http_is_as_well() -> None:
    check_url("http://127.0.0.1:8000/hook?token=x", private=True)
    check_url("https://example.com:8443/hook", private=False)
    with pytest.raises(Invalid):
        check_url("file:///etc/passwd", private=True)


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
        *("169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
        *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
        "2001:0:7f00:1::1",
    ],
)
def test_what_is_not_of_the_public_internet(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_what_is(text: str) -> None:
    assert is_public(ip_address(text))
