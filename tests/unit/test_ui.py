"""The page that Airflow serves is the one that ui/ makes, and it is small."""

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

STATIC = ROOT / "plugins" / "static"
MOST = 150_000  # bytes, all of it, as it travels


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_it_is_small() -> None:
    assert sum(len(gzip.compress(body)) for body in content(STATIC).values()) < MOST


def test_it_loads_nothing_from_elsewhere_and_runs_no_inline_script() -> None:
    page = (STATIC / "index.html").read_text()
    assert "http" not in page
    assert page.count("<script") == page.count('<script type="module" crossorigin src="./assets/') == 1


@pytest.mark.skipif(shutil.which("npm") is None or not (ROOT / "ui/node_modules").is_dir(), reason="needs Node and `make ui`")
def test_it_is_built_from_its_source(tmp_path: Path) -> None:
    done = subprocess.run(
        ["npx", "vite", "build"], cwd=ROOT / "ui", env=os.environ | {"HOMELAKE_UI_OUT": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert content(tmp_path) == content(STATIC), "run `make ui` and commit plugins/static"
