"""The whole declaration, and what its parts say of one another."""

import hashlib
import json
import posixpath
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from include.lake.document import check_document, read_document, several
from include.lake.spec.jobs import Kubernetes, Spark
from include.lake.spec.machine import Filesystem, Vm
from include.lake.spec.store import Bucket, Minio, User
from include.lake.spec.streams import Kafka, Payments
from include.lake.spec.types import Account, Model, Name
from include.lake.spec.watch import Backup, Governance

LAKE_FILE = Path(__file__).resolve().parents[2] / "lake.yaml"


class LakeSpec(Model):
    """The whole declaration."""

    name: Name
    vm: Vm
    filesystem: Filesystem = Filesystem()
    account: Account = "minio-user"
    minio: Minio
    buckets: Annotated[tuple[Bucket, ...], Field(min_length=1, strict=False)]
    users: Annotated[tuple[User, ...], Field(strict=False)] = ()
    kubernetes: Kubernetes = Kubernetes()
    spark: Spark
    governance: Governance = Governance()
    backup: Backup = Backup()
    kafka: Kafka | None = None
    payments: Payments | None = None

    @model_validator(mode="after")
    def _references(self) -> Self:
        buckets, users, wrong = [b.name for b in self.buckets], {u.name: u for u in self.users}, []
        for kind, names in (("buckets", buckets), ("users", [u.name for u in self.users])):
            if twice := {n for n in names if names.count(n) > 1}:
                wrong.append(f"{kind}: {', '.join(sorted(twice))} declared twice; names must differ")
        for i, user in enumerate(self.users):
            if missing := {s.partition("/")[0] for s in user.buckets} - set(buckets):
                wrong.append(f"users[{i}].buckets: {', '.join(sorted(missing))} is not declared under buckets")
        job, output = users.get(self.kubernetes.secret.user), self.spark.bucket
        if job is None:
            wrong.append(f"kubernetes.secret.user: {self.kubernetes.secret.user!r} is not declared under users")
        elif output in buckets and not job.rewrites(output, self.spark.prefix):
            wrong.append(
                f"spark.output: {job.name} may not write to {self.spark.output}, and the job writes as that user; give it the bucket and the role read-write"
            )
        if output not in buckets:
            wrong.append(f"spark.output: its bucket {output!r} is not declared under buckets")
        secrets = [self.kubernetes.secret.name, *(u.secret for u in self.users if u.secret and u.name != self.kubernetes.secret.user)]
        if twice := {n for n in secrets if secrets.count(n) > 1}:
            wrong.append(f"users: the secret {', '.join(sorted(twice))} would hold the key pairs of several; give each a secret of its own")
        if job and job.secret not in (None, self.kubernetes.secret.name):
            wrong.append(f"users: the key pair of {job.name} is in kubernetes.secret ({self.kubernetes.secret.name}); remove its secret {job.secret}")
        wrong += [*self._places(job), *self._apart()]
        if wrong:
            raise several(wrong)
        return self

    def _places(self, job: User | None) -> Iterator[str]:
        """What else the jobs write to, and what the stream reads."""
        if self.spark.event_logs:
            yield from self._place("spark.event_logs", self.spark.event_logs, job, "a job")
        topics = [t.name for t in self.kafka.topics] if self.kafka else []
        if twice := {n for n in topics if topics.count(n) > 1}:
            yield f"kafka.topics: {', '.join(sorted(twice))} declared twice; names must differ"
        if not self.payments:
            return
        if self.payments.topic not in topics:
            yield f"payments.topic: {self.payments.topic!r} is not declared under kafka.topics"
        for name in ("path", "checkpoint"):
            yield from self._place(f"payments.{name}", getattr(self.payments, name), job, "the stream")

    def _place(self, name: str, place: str, job: User | None, who: str) -> Iterator[str]:
        _, _, bucket, prefix = place.split("/", 3)
        if not place.endswith("/"):
            yield f"{name}: {place} does not end in /; write {place}/"
        elif bucket not in [b.name for b in self.buckets]:
            yield f"{name}: its bucket {bucket!r} is not declared under buckets"
        elif job and not job.rewrites(bucket, prefix):
            yield f"{name}: {job.name} may not write to {place}, and {who} writes as that user; give it the bucket and the role read-write"

    def _apart(self) -> Iterator[str]:
        """Each of these is written by a program of its own that takes the folder for its own: a job that overwrites its output removes all below it."""
        places = {"spark.output": self.spark.output, "spark.event_logs": self.spark.event_logs}
        if self.payments:
            places |= {"payments.path": self.payments.path, "payments.checkpoint": self.payments.checkpoint}
        folders = {name: posixpath.normpath(place.removeprefix("s3a:/")) + "/" for name, place in places.items() if place}
        for one, other in combinations(folders, 2):
            inner, outer = (one, other) if len(folders[one]) > len(folders[other]) else (other, one)
            if folders[inner].startswith(folders[outer]):
                yield f"{inner}: {places[inner]} lies in {outer} ({places[outer]}), and what writes to the one would destroy the other; give each a folder of its own"

    def digest(self) -> str:
        """A short name of this very declaration: a run that started with one refuses to go on with another."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:16]


def read_spec(path: Path = LAKE_FILE) -> LakeSpec:
    """Read and check a declaration. Raises SpecError with every problem in it, and nothing else."""
    return read_document(path, LakeSpec)


def check_spec(text: str, path: Path) -> LakeSpec:
    """Check a declaration that is not in its file yet; problems are told as that file's. Raises SpecError."""
    return check_document(text, path, LakeSpec)
