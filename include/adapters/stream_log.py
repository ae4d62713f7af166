"""The stream's log, read from the lake."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

from include.adapters.network import network_cause
from include.adapters.s3 import client
from include.connections import Connection, without_login
from include.lake.errors import LakeError, Unreachable
from include.lake.stream_log import QueryLog

T = TypeVar("T")
THREADS = 8


class StreamLog:
    """The logs below a path, as `s3a://datalake/payments/`, as the account of the connection `lake_s3` sees them. Reads only."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection, url = connection, urlsplit(path)
        self.bucket, self.prefix = url.netloc, f"{url.path.strip('/')}/"

    @cached_property
    def s3(self) -> Any:
        """boto3's client; raises LakeError."""
        return client(self._connection, threads=THREADS, connect=10, read=30)

    def read(self, query: str) -> QueryLog:
        """The log of a query. What is written meanwhile is in the next look: entries stay for a while after they are compacted."""
        folder = f"{self.prefix}_log/{query}/"
        compacted = self._json(f"{folder}compacted.json")
        entries = self._after(folder, f"{compacted['through']:020d}.json" if compacted else "")
        if any(e is None for e in entries):
            raise LakeError("read", f"the log of {query}", "entries went away while they were read", "Run it again")
        return QueryLog(query, compacted, [e for e in entries if e is not None])

    def since(self, query: str, batch: int) -> list[Mapping[str, Any]]:
        """What a query has committed after a batch, oldest first. An entry that went away meanwhile is left out: it is compacted."""
        return [e for e in self._after(f"{self.prefix}_log/{query}/", f"{batch:020d}.json") if e is not None]

    def _after(self, folder: str, name: str) -> list[Mapping[str, Any] | None]:
        pages = self._do(lambda: list(self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder, StartAfter=f"{folder}{name}")))
        keys = [o["Key"] for page in pages for o in page.get("Contents", ()) if o["Key"].removeprefix(folder)[:-5].isdigit()]
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(self._json, keys))

    def _json(self, key: str) -> Mapping[str, Any] | None:
        def get() -> bytes | None:
            try:
                return bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
            except self.s3.exceptions.NoSuchKey:
                return None

        text = self._do(get)
        try:
            found: Mapping[str, Any] | None = None if text is None else json.loads(text)
        except ValueError:
            raise LakeError("read", f"s3://{self.bucket}/{key}", "it is not JSON", "Bring back its version before from a backup, or its noncurrent version") from None  # fmt: skip
        return found

    def _do(self, call: Callable[[], T]) -> T:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except ClientError as error:
            told = error.response.get("Error", {})
            raise LakeError("read", f"s3://{self.bucket}/{self.prefix}_log", f"MinIO answers {told.get('Code')}: {told.get('Message')}",
                            f"Check the connection {self._connection.id!r}, and ./lake plan") from None  # fmt: skip
        except (BotoCoreError, OSError) as error:
            raise Unreachable(f"MinIO at {without_login(self._connection.option('endpoint_url'))}", network_cause(error), f"Check the connection {self._connection.id!r}") from None  # fmt: skip
