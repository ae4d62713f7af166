"""The shipped declaration with the stream in it."""

import tempfile
from pathlib import Path

from include.declare import unmarked
from include.lake.lake import Lake, load_lake
from include.lake.spec import LAKE_FILE

_FOLDER = tempfile.TemporaryDirectory(prefix="homelake-declared-")
FILE = Path(_FOLDER.name) / "lake.yaml"
FILE.write_text(unmarked(LAKE_FILE.read_text()))


def streaming() -> Lake:
    """The lake that it declares."""
    return load_lake(FILE)
