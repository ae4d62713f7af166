"""Jars that only a benchmark needs, fetched once through Maven."""

import shutil
from pathlib import Path

from lab import cache
from lab.errors import LabError
from lab.run import sh

HERE = Path(__file__).parent


def jars(name: str, what: str) -> Path:
    """The folder with the jars of `bench/NAME.xml`; fetched once. Raises LabError without Maven, or when it cannot fetch them."""
    pom = HERE / f"{name}.xml"

    def make(folder: Path) -> None:
        if not shutil.which("mvn"):
            raise LabError("fetch", what, "there is no Maven on this machine", "On Debian: apt-get install maven")
        sh("mvn", "-B", "-q", "-f", pom, "dependency:copy-dependencies", f"-Djars={folder}")

    return cache.built(f"bench-{name.replace('_', '-')}", cache.fingerprint(files=[pom]), make, what)
