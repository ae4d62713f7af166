"""Where Spark jobs run, with which key pair, and the job that comes with the lake."""

from typing import Self

from pydantic import model_validator

from include.lake.spec.types import Cron, Key, Model, Name, S3aPath, Text


class KeySecret(Model):
    """The Kubernetes secret that holds a user's key pair."""

    name: Name = "minio-s3-keys"
    user: Name = "spark-user"
    access_key: Key = "access-key"
    secret_key: Key = "secret-key"

    @model_validator(mode="after")
    def _keys(self) -> Self:
        if self.access_key == self.secret_key:
            raise ValueError("access_key and secret_key name the same key; give them different names")
        return self


class Kubernetes(Model):
    """Where the Spark jobs run."""

    namespace: Name = "spark-jobs"
    service_account: Name = "spark-sa"
    secret: KeySecret = KeySecret()


class Spark(Model):
    """The Spark job."""

    image: Text
    image_pull_secret: Name | None = None
    schedule: Cron | None = None
    output: S3aPath = "s3a://datalake/test-output/"
    event_logs: S3aPath | None = None  # where batch jobs leave Spark's own record of them; None: nowhere

    @property
    def bucket(self) -> str:
        """The bucket of its output."""
        return self.output.split("/")[2]

    @property
    def prefix(self) -> str:
        """The prefix of its output in that bucket."""
        return self.output.split("/", 3)[3]
