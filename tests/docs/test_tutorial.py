"""The pages that readers follow, followed."""

from __future__ import annotations

from pathlib import Path

import pytest
from walkthrough import DOCS, matches, steps, walk

PAGES = [
    "tutorial.md",
    "how-to/operate-a-server.md",
    *(
        pytest.param(f"how-to/{name}.md", marks=pytest.mark.thorough)
        for name in (
            "alert-and-notify",
            "ask-about-usage",
            "back-up-and-move",
            "change-a-catalog",
            "correct-the-past",
            "count-telemetry",
            "give-operators-keys",
            "price-usage",
            "record-usage-from-python",
            "sell-credits",
        )
    ),
]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_does_what_it_says(tmp_path: Path, page: str) -> None:
    assert walk(DOCS / page, tmp_path) > 5


@pytest.mark.parametrize(
    ("shown", "happened", "same"),
    [
        ("a\nb", "a  \nb\n", True),
        ("key …!", "key 123!", True),
        ("key …!", "key !", False),
        ("…", "a\nb", False),
        ("a.c", "abc", False),
        ("", "anything", False),
        ("a", "a\nb", False),
    ],
)
def test_an_output_must_match_line_by_line(shown: str, happened: str, same: bool) -> None:
    assert matches(shown, happened) is same


def test_a_page_that_is_wrong_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text\n\n```text name.txt\nhello\n```\n\n```console\n$ cat \\\n    name.txt\nhello\n$ echo $?\n1\n```\n"
    )
    assert len(steps(page)) == 3
    with pytest.raises(AssertionError, match=r"the page shows\n1\n--- but it prints\n0"):
        walk(page, tmp_path)
