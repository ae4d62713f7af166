"""Finished Spark jobs in the lake: one compact Parquet a job, so that yesterday's run can be looked at and two be compared.

_homelake/jobs/NAMESPACE/STARTED-NAME.parquet

A stream has the same name each time, so it is the three together that tell one job from another.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from include.adapters.metrics.parquet import SUMMARY, Columns, begins, decode, encode, footer_length, metadata
from include.adapters.network import network_cause
from include.adapters.s3 import client
from include.connections import Connection
from include.lake.errors import LakeError, Unreachable
from include.lake.metrics.view import ApplicationView

T = TypeVar("T")
FOLDER = "_homelake/jobs/"
NEWEST = 200
WINDOWS = (timedelta(days=7), timedelta(days=90), None)  # how far back is listed until there are enough; None: to the beginning
TAIL = 64 * 1024  # bytes: a footer is rarely longer
THREADS = 8
TRIES = 5  # at an object that others write meanwhile
STAMP = re.compile(r"\d{8}T\d{6}Z")
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")  # as Kubernetes takes it


class Key(NamedTuple):
    """A job's object: when the job started, as `20261126T221300Z`, and whose it is."""

    namespace: str
    started: str
    name: str
    etag: str = ""

    def path(self, prefix: str) -> str:
        """The object's key."""
        return f"{prefix}{FOLDER}{self.namespace}/{self.started}-{self.name}.parquet"


class Got(NamedTuple):
    """An object, or its end."""

    body: bytes
    etag: str


class Past:
    """The finished jobs below a prefix of a bucket (`""`, or one that ends with `/`), as the account of the connection `lake_s3` sees them."""

    def __init__(self, connection: Connection, bucket: str, prefix: str = "") -> None:
        self._connection, self.bucket, self.prefix = connection, bucket, prefix
        self._footers: dict[Key, dict[str, Any]] = {}  # an object never changes without its ETag

    @cached_property
    def s3(self) -> Any:
        """boto3's client; raises LakeError."""
        return client(self._connection, threads=THREADS, connect=5, read=15)

    def write(self, application: ApplicationView, series: Mapping[str, Columns]) -> str:
        """Keep a job and the course of its figures (of its pods by name, of the whole as `total`); returns the object's key. A second time replaces it."""
        key = _key(application).path(self.prefix)
        self._do("write", key, lambda: self.s3.put_object(Bucket=self.bucket, Key=key, Body=encode(application, series)))
        return key

    def write_longest(self, application: ApplicationView, series: Mapping[str, Columns]) -> str:
        """The same, unless what is kept already begins as early: of several who write it at once, the course that begins first stays.

        Returns the object's key; empty when it was left as it is.
        """
        key = _key(application).path(self.prefix)
        body = encode(application, series)
        for _ in range(TRIES):
            there = self._tail(key)
            if there is not None and begins(there.body) <= begins(body):
                return ""
            if self._put(key, body, {"IfMatch": there.etag} if there is not None else {"IfNoneMatch": "*"}):
                return key
        raise LakeError("write", f"{self.bucket}/{key}", "somebody else writes it again and again", "It is tried again")

    def _put(self, key: str, body: bytes, only: Mapping[str, str]) -> bool:
        """Whether it was written: not when the object is no longer as `only` says."""
        from botocore.exceptions import ClientError

        def put() -> bool:
            try:
                self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **only)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in ("PreconditionFailed", "ConditionalRequestConflict"):
                    return False
                raise
            return True

        return bool(self._do("write", key, put))

    def list(self) -> list[dict[str, Any]]:
        """What is to be told of each in a list, the latest to start first; 200 at most. `stamp` is its start as `read` takes it."""
        keys = sorted(self._keys(), key=lambda k: k.started, reverse=True)[:NEWEST]
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(self._footer, keys))
        self._footers = {k: f for k, f in zip(keys, found, strict=True) if f is not None}
        return list(self._footers.values())

    def read(self, namespace: str, name: str, stamp: str = "") -> dict[str, Any] | None:
        """A job, as `application`, and its `series` by pod: the one that started then, or the latest of that name. None: the lake keeps none."""
        if not NAME.fullmatch(namespace) or not NAME.fullmatch(name) or not (stamp == "" or STAMP.fullmatch(stamp)):
            return None
        keys = [Key(namespace, stamp, name)] if stamp else [k for k in self._list(namespace, None) if k.name == name]
        path = max(keys, key=lambda k: k.started).path(self.prefix) if keys else ""
        found = self._get(path) if path else None
        return decode(found.body, path) if found is not None else None

    def _keys(self) -> Sequence[Key]:
        folder = f"{self.prefix}{FOLDER}"
        pages = self._pages(Prefix=folder, Delimiter="/")
        namespaces = [p["Prefix"].removeprefix(folder).strip("/") for page in pages for p in page.get("CommonPrefixes", ())]
        keys: Sequence[Key] = ()
        for window in WINDOWS:
            since = None if window is None else datetime.now(UTC) - window
            keys = [k for namespace in namespaces for k in self._list(namespace, since)]
            if len(keys) >= NEWEST:
                break
        return keys

    def _list(self, namespace: str, since: datetime | None) -> Iterator[Key]:
        folder = f"{self.prefix}{FOLDER}{namespace}/"
        for page in self._pages(Prefix=folder, StartAfter=f"{folder}{_stamp(since.timestamp())}" if since else folder):
            for found in page.get("Contents", ()):
                if match := re.fullmatch(rf"({STAMP.pattern})-(.+)\.parquet", found["Key"].removeprefix(folder)):
                    yield Key(namespace, match[1], match[2], found["ETag"])

    def _pages(self, **where: str) -> Sequence[Mapping[str, Any]]:
        def pages() -> Sequence[Mapping[str, Any]]:
            return list(self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **where))

        return self._do("list", where["Prefix"], pages) or []

    def _footer(self, key: Key) -> dict[str, Any] | None:
        """What a list tells of one; None when it went away meanwhile, or is none of ours."""
        if key in self._footers:
            return self._footers[key]
        tail = self._tail(key.path(self.prefix))
        try:
            found: dict[str, Any] = json.loads(metadata(tail.body if tail else b"")[SUMMARY])
        except (ValueError, KeyError, OSError):
            return None
        return found | {"stamp": key.started}

    def _tail(self, path: str) -> Got | None:
        """The end of an object, with the whole footer."""
        tail = self._get(path, f"bytes=-{TAIL}")
        if tail is not None and (missing := footer_length(tail.body)) > len(tail.body):
            tail = self._get(path, f"bytes=-{missing}")
        return tail

    def _get(self, path: str, part: str = "") -> Got | None:
        def get() -> Got | None:
            try:
                answer = self.s3.get_object(Bucket=self.bucket, Key=path, **({"Range": part} if part else {}))
                return Got(bytes(answer["Body"].read()), answer.get("ETag", ""))
            except self.s3.exceptions.NoSuchKey:
                return None

        return self._do("read", path, get)

    def _do(self, verb: str, path: str, call: Callable[[], T]) -> T | None:
        from botocore.exceptions import BotoCoreError, ClientError

        what = f"{self.bucket}/{path}"
        try:
            return call()
        except ClientError as error:
            raise LakeError(verb, what, f"MinIO answers {error.response.get('Error', {}).get('Code', 'no')}", "See the connection lake_s3") from None
        except BotoCoreError as error:
            raise Unreachable(f"MinIO for {what}", network_cause(error.kwargs.get("error") or error), "See the connection lake_s3") from None


def _key(application: ApplicationView) -> Key:
    return Key(application.namespace, _stamp(application.started or application.ended or 0), application.name)


def _stamp(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y%m%dT%H%M%SZ}"
