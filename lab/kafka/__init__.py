"""A Kafka broker out of Maven's jars."""

import shutil
from pathlib import Path

from lab import cache
from lab.errors import LabError
from lab.run import sh

POM, START = Path(__file__).with_name("pom.xml"), Path(__file__).with_name("start.sh")
VERSION = "4.1.2"


def properties(address: str, controller: int, data: Path | str) -> str:
    """The settings of a broker that is alone: where clients reach it, the port of its controller on loopback, and its folder."""
    text = Path(__file__).with_name("server.properties").read_text()
    for mark, value in {"@ADDRESS@": address, "@CONTROLLER@": controller, "@DATA@": data}.items():
        text = text.replace(mark, str(value))
    return text


def jars() -> Path:
    """The folder of a broker's jars; fetched once."""

    def make(folder: Path) -> None:
        if not shutil.which("mvn"):
            raise LabError("build", "Kafka", "there is no Maven on this machine", "On Debian: apt-get install maven")
        sh("mvn", "-B", "-q", "-f", POM, "dependency:copy-dependencies", f"-Djars={folder}")

    return cache.built("kafka", cache.fingerprint(files=[POM]), make, "Kafka (43 MB)")
