"""A callback for LiteLLM: each completion and embedding is a token event. Needs `litellm`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from litellm.integrations.custom_logger import (  # type: ignore[import-not-found, unused-ignore]
    CustomLogger,
)

from .llm import EVENT_TYPE, tokens
from .meter import Meter
from .telling import tell

OrganizationOf = Callable[[Mapping[str, Any]], "str | None"]


def organization_of(call: Mapping[str, Any]) -> str | None:
    """Whose call it is: `organization` of its `metadata`, else its `user`, else nobody's."""
    metadata = (call.get("litellm_params") or {}).get("metadata") or {}
    return metadata.get("organization") or call.get("user") or None


class MeterhouseLogger(CustomLogger):  # type: ignore[misc, unused-ignore]
    """Records what LiteLLM's calls have used: `litellm.callbacks.append(MeterhouseLogger(meter))`.

    An event has the tokens of `meterhouse_client.llm`, the `provider`, and the id of the answer as its own: however
    often LiteLLM calls back for an answer, it counts once. A stream is recorded at its end. What failed, and what
    LiteLLM has answered from its own cache, used no tokens. What prevents an event is told to `on_error`, or logged: it
    never reaches whoever asked LiteLLM.
    """

    def __init__(
        self,
        meter: Meter,
        *,
        organization: OrganizationOf = organization_of,
        event_type: str = EVENT_TYPE,
        on_error: Callable[[Exception], None] | None = None,
    ):
        """`organization` is called with all that LiteLLM tells of a call; None is not counted."""
        super().__init__()
        self._meter = meter
        self._organization = organization
        self._event_type = event_type
        self._on_error = on_error

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:  # noqa: ARG002 - as LiteLLM calls it
        """Records a call of a program that waits."""
        self._record(kwargs, response_obj, start_time)

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:  # noqa: ARG002 - as LiteLLM calls it
        """Records a call of a program that awaits."""
        self._record(kwargs, response_obj, start_time)

    def _record(self, call: Mapping[str, Any], answer: Any, began: object) -> None:
        try:
            found = None if call.get("cache_hit") else tokens(answer)
            organization = self._organization(call) if found is not None else None
            if found is None or organization is None:
                return
            if provider := call.get("custom_llm_provider"):
                found["provider"] = provider
            self._meter.record(
                self._event_type,
                organization,
                found,
                # Both are the same each time that LiteLLM calls back, and so is the event.
                id=getattr(answer, "id", None) or call.get("litellm_call_id"),
                at=began.astimezone() if isinstance(began, datetime) else None,
            )
        except Exception as failure:  # noqa: BLE001 - the call was answered: what is wrong here is not its caller's
            tell(failure, self._on_error)
