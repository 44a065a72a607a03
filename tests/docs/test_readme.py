"""The lines of the README, pasted as they are."""

from __future__ import annotations

import re
from pathlib import Path

from walkthrough import DOCS, File, shell, steps

README = DOCS.parent / "README.md"


def test_its_lines_work_as_pasted(tmp_path: Path) -> None:
    [catalog] = [step for step in steps(README) if isinstance(step, File)]
    [pasted] = re.findall(r"^```sh\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    with shell(tmp_path) as bash:
        (tmp_path / "work" / catalog.name).write_text(catalog.content)
        printed, status = bash.run(pasted)
        log = (tmp_path / "work" / "server.log").read_text()
    assert status == 0, printed + log
    assert '{"ledger":"ok","events":"ok","disk":"ok"}' in printed
    assert '"ingested":1,' in printed
    assert re.search(r"tokens +│ +154 ", printed), printed
