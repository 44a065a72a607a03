"""Rate cards by chance, as they are written."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

amounts = st.integers(0, 40).map(lambda number: f"{number // 10}.{number % 10}")
small = st.integers(1, 16).map(lambda number: str(number / 2).removesuffix(".0"))


@st.composite
def prices(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["per_unit", "graduated", "volume", "package"]))
    written: dict[str, Any] = {"type": kind}
    if kind in ("graduated", "volume"):
        ends = sorted(draw(st.sets(st.integers(1, 30), max_size=3)))
        rows = [{"up_to": str(end / 2).removesuffix(".0"), "price": draw(amounts)} for end in ends]
        written["tiers"] = [*rows, {"price": draw(amounts)}]
    else:
        written["price"] = draw(amounts)
    if kind == "package":
        written["package"] = draw(small)
    if draw(st.booleans()):
        written["included"] = draw(small)
    return written


@st.composite
def cards(draw: st.DrawFn, names: tuple[str, ...], texts: tuple[str, ...]) -> dict[str, Any]:
    """A card of the meter `tokens`, with groups by some of the properties."""
    written: dict[str, Any] = {"meter": "tokens", "currency": draw(st.sampled_from(["USD", "EUR"]))}
    by = draw(st.lists(st.sampled_from(names), unique=True))
    groups = draw(st.sets(st.tuples(*(st.sampled_from(texts) for _ in by)), max_size=3)) if by else set()
    if groups:
        written["groups"] = [{"group": dict(zip(by, group, strict=True)), **draw(prices())} for group in sorted(groups)]
    if not groups or draw(st.booleans()):
        written |= draw(prices())
    if draw(st.booleans()):
        written["minimum"] = draw(amounts)
    return written
