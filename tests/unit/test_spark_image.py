"""`jobs/Dockerfile` and the lab's own image are made of the same parts."""

import json
import re

from include.settings import ROOT
from lab.k8s.build import SPARK, SPARK_PACKAGES, SPARK_UID

TEXT = (ROOT / "jobs/Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
BUILD, FINAL = TEXT.split("FROM debian:trixie-slim\n")
IN_EVERY_DEBIAN = {"bash", "coreutils", "libc-bin", "python3-minimal"}  # the last comes with python3


def test_the_packages_are_the_labs() -> None:
    (listed,) = re.findall(r"apt-get install -y --no-install-recommends ([^&]+?) +&&", FINAL)
    assert set(listed.split()) == set(SPARK_PACKAGES) - IN_EVERY_DEBIAN


def test_every_declared_file_is_used_from_the_context_jobs() -> None:
    assert "COPY image/ image/" in BUILD
    assert SPARK == ROOT / "jobs/image"
    for file in SPARK.iterdir():
        assert f"image/{file.name}" in BUILD, file.name


def test_the_classes_are_laid_out_where_everything_is_in_place() -> None:
    assert FINAL.index("COPY --from=build /build/spark /opt/spark") < FINAL.index("\nENV ") < FINAL.index("\nRUN /opt/spark/entrypoint.sh archive\n")


def test_it_runs_as_the_labs_user_through_the_same_entrypoint() -> None:
    assert f"spark:x:{SPARK_UID}:0:" in FINAL
    assert f"\nUSER {SPARK_UID}\n" in FINAL
    (entrypoint,) = re.findall(r"^ENTRYPOINT (.+)$", FINAL, re.MULTILINE)
    assert json.loads(entrypoint) == ["/opt/spark/entrypoint.sh"]
