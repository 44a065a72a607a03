"""Times as tables have them, against an oracle that looks for the instants at which clocks showed them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.cli.ingesting.records import NoEvent
from meterhouse.cli.ingesting.times import TimeReader
from meterhouse.domain.period import parse_instant

ZONES = ["UTC", "Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(text: str, form: str = "rfc3339", zone: str | None = None) -> datetime:
    return parse_instant(TimeReader(form, zone, "--csv.time-zone").read(text, "line 2"))


def instants_of(local: datetime, zone: ZoneInfo) -> list[datetime]:
    """Every instant at which clocks of the zone showed that time: by trying all offsets that there are."""
    naive = local.replace(tzinfo=UTC)
    offsets = {(naive + timedelta(hours=hour)).astimezone(zone).utcoffset() or timedelta() for hour in range(-50, 51)}
    found = {naive - offset for offset in offsets}
    return sorted(each for each in found if each.astimezone(zone).replace(tzinfo=None) == local)


def on(*numbers: int) -> datetime:
    """A time on a wall, somewhere."""
    return datetime(*numbers)  # type: ignore[arg-type]  # noqa: DTZ001


NEAR_CHANGES = st.sampled_from(
    [
        on(2026, 3, 29, 2),
        on(2026, 10, 25, 2),
        on(2026, 3, 8, 2),
        on(2026, 11, 1, 1),
        on(2026, 10, 4, 2),
        on(2026, 4, 5, 1, 30),
        on(2018, 11, 4),
        on(2019, 2, 16, 23),
    ]
)
LOCAL = st.builds(lambda at, us: at + timedelta(microseconds=us), NEAR_CHANGES, st.integers(-(10**10), 10**10))


@given(LOCAL | st.datetimes(on(1971, 1, 1), on(2037, 1, 1)), st.sampled_from(ZONES), st.sampled_from(" T"))
def test_a_local_time_is_when_clocks_showed_it(local: datetime, name: str, between: str) -> None:
    found = instants_of(local, ZoneInfo(name))
    reader = TimeReader("rfc3339", name, "--csv.time-zone")
    text = local.isoformat(between)
    if not found:
        with pytest.raises(NoEvent, match="does not exist"):
            reader.read(text, "line 2")
        return
    assert parse_instant(reader.read(text, "line 2")) == found[0]
    assert reader.ambiguous == len(found) - 1
    assert len(reader.notes()) == len(found) - 1


def test_changes_of_clocks_are_told() -> None:
    reader = TimeReader("rfc3339", "Europe/Zurich", "--csv.time-zone")
    assert reader.read("2026-10-25 02:30:00.1234567", "line 7") == "2026-10-25T00:30:00.1234567Z"
    reader.read("2026-10-25 02:45:00", "line 8")
    assert reader.notes() == [
        "2 times were there twice, because clocks went back (line 7, 2026-10-25 02:30:00.1234567 was the first): they "
        "were read as the earlier of the two"
    ]
    with pytest.raises(NoEvent, match="does not exist in Europe/Zurich: clocks went forward over it"):
        reader.read("2026-03-29 02:30:00", "line 9")


UNITS = {"unix": 1, "unix-ms": 10**3, "unix-us": 10**6, "unix-ns": 10**9}


@given(st.sampled_from(sorted(UNITS)), st.integers(-(10**20), 9 * 10**21))
def test_seconds_since_1970_are_exact(form: str, number: int) -> None:
    """With more digits than microseconds, so that there is always something to cut."""
    value = Fraction(number, 10**12) * UNITS[form]
    scaled = value * 10**12
    sign, whole = ("-" if scaled < 0 else ""), abs(scaled.numerator // scaled.denominator)
    text = f"{sign}{whole // 10**12}.{whole % 10**12:012}"
    exact = Fraction(int(f"{sign}{whole}"), 10**12 * UNITS[form])
    try:
        expected = EPOCH + timedelta(microseconds=(exact * 10**6).__floor__())
        in_range = datetime(1900, 1, 1, tzinfo=UTC) <= expected < datetime(2262, 1, 1, tzinfo=UTC)
    except OverflowError:
        in_range = False
    if len(text.lstrip("-").partition(".")[0]) > 20 or not in_range:
        with pytest.raises(NoEvent):
            read(text, form)
        return
    assert read(text, form) == expected


@given(
    st.datetimes(on(1950, 1, 1), on(2200, 1, 1)).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
)
def test_excels_days_are_the_time_that_excel_shows(at: datetime) -> None:
    """Excel keeps a double: the nearest one to any millisecond is read as that millisecond."""
    for form, zero in (("excel", on(1899, 12, 30)), ("excel-1904", on(1904, 1, 1))):
        serial = (at - zero) / timedelta(days=1)
        assert read(repr(serial), form, "UTC") == at.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "form", "zone", "instant"),
    [
        ("1767225600", "unix", None, "2026-01-01T00:00:00Z"),
        ("1767225600.9999999", "unix", None, "2026-01-01T00:00:00.999999Z"),
        ("-0.0000001", "unix", None, "1969-12-31T23:59:59.999999Z"),
        ("9000000000.99999999999999999999", "unix", None, "2255-03-14T16:00:00.999999Z"),
        ("1767225600123", "unix-ms", None, "2026-01-01T00:00:00.123Z"),
        ("46023.5", "excel", "Europe/Zurich", "2026-01-01T11:00:00Z"),
        ("46023.041666666664", "excel", "UTC", "2026-01-01T01:00:00Z"),
        ("44561", "excel-1904", "UTC", "2026-01-01T00:00:00Z"),
        ("31.12.2025 23:59:59", "%d.%m.%Y %H:%M:%S", "Europe/Zurich", "2025-12-31T22:59:59Z"),
        ("12/31/2025 11:59 PM -0500", "%m/%d/%Y %I:%M %p %z", None, "2026-01-01T04:59:00Z"),
        ("2026-01-01 00:00:00+01:00", "rfc3339", None, "2025-12-31T23:00:00Z"),
    ],
)
def test_what_is_written_is_read(text: str, form: str, zone: str | None, instant: str) -> None:
    assert read(text, form, zone) == parse_instant(instant)


@pytest.mark.parametrize(
    ("text", "form", "zone", "words"),
    [
        ("", "rfc3339", "UTC", "not an RFC 3339"),
        ("2026-01-01", "rfc3339", "UTC", "not an RFC 3339"),
        ("2026-01-01 10:00:00", "rfc3339", None, "has no zone: say which with --csv.time-zone"),
        ("2026-02-30 10:00:00", "rfc3339", "UTC", "does not exist"),
        ("0001-01-01 00:00:00", "rfc3339", "Europe/Zurich", "does not exist"),
        ("1.7672256E+09", "unix", None, "not a plain number"),
        ("1767225600123", "unix", None, "cannot be read as unix"),
        ("1767225600,5", "unix", None, "not a plain number"),
        ("NaN", "unix", None, "not a plain number"),
        ("٣", "unix", None, "not a plain number"),
        ("46023.5", "excel", None, "has no zone"),
        ("60", "excel", "UTC", "before 1 March 1900"),
        ("46110.1041666667", "excel", "Europe/Zurich", "does not exist in Europe/Zurich"),
        ("2025-12-31", "%d.%m.%Y", "UTC", "cannot be read as %d.%m.%Y"),
        ("01.01.0001 00:00", "%d.%m.%Y %H:%M", "UTC", "not between 1900"),
    ],
)
def test_what_is_no_time_says_so(text: str, form: str, zone: str | None, words: str) -> None:
    with pytest.raises(NoEvent, match=words.replace("+", r"\+")):
        read(text, form, zone)
