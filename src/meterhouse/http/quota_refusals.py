"""What is told where a limit has no room: in the words of the organization's contract, or else in our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import msgspec
from litestar import Response

from ..contracts.contract import Contract, Shortage
from ..domain.decision import LimitState
from ..domain.limit_rule import LimitMode, LimitWindow
from ..domain.period import format_instant
from ..domain.quantity import add
from ..services.catalogs import Catalogs
from ..services.enforcement import QuotaExceeded
from .bodies import encode_body, exact
from .contracts import response_of
from .problems import PROBLEM_JSON, Problem
from .request import HttpRequest


class LimitBody(msgspec.Struct):
    """A limit as it is: `left` is what neither was used nor is reserved. `per` is the property that tells it apart,
    with its `value`."""

    meter: str
    per: str | None
    value: str | None
    window: LimitWindow
    mode: LimitMode
    limit: Decimal | None
    used: Decimal | None
    reserved: Decimal | None
    left: Decimal | None
    resets_at: str | None


class QuotaProblem(Problem, kw_only=True):
    """A refusal names the limit that has no room."""

    limit: LimitBody


@dataclass(frozen=True, slots=True)
class QuotaRefusals:
    """Words each refusal."""

    contracts: Mapping[str, Contract]
    catalogs: Catalogs

    def in_own_words(self, namespace: str, shortage: Shortage) -> Response[bytes] | None:
        """What the product of a namespace says itself; None where it has no contract, or that has no words for it."""
        contract = self.contracts.get(self.catalogs.get(namespace).contract or "")
        if contract is None or contract.insufficient_quota is None:
            return None
        answer = contract.insufficient_quota(shortage)
        return response_of(answer) if answer is not None else None

    def response(self, request: HttpRequest, namespace: str, refused: QuotaExceeded) -> Response[bytes]:
        """The 402 that names the limit."""
        state = refused.refused_by
        shortage = Shortage(state.rule.meter, add((state.used, state.held)), state.limit, str(refused))
        return self.in_own_words(namespace, shortage) or _problem(request, refused)


def limit_body(state: LimitState) -> LimitBody:
    """A limit as it is answered."""
    rule = state.rule
    return LimitBody(
        rule.meter,
        rule.per,
        state.text if rule.per is not None else None,
        rule.window,
        rule.mode,
        exact(state.limit),
        exact(state.used),
        exact(state.held),
        exact(state.left),
        format_instant(state.resets_at) if state.resets_at is not None else None,
    )


def _problem(request: HttpRequest, refused: QuotaExceeded) -> Response[bytes]:
    problem = QuotaProblem(
        title="Payment Required",
        status=402,
        detail=str(refused),
        code=refused.code,
        request_id=request.state.request_id,
        limit=limit_body(refused.refused_by),
    )
    content = msgspec.json.decode(encode_body(problem), type=dict[str, msgspec.Raw])
    body = msgspec.json.encode({"type": problem.type, **content})
    return Response(body, status_code=402, media_type=PROBLEM_JSON)
