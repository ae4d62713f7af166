"""Finished Spark jobs in the lake: one compact Parquet a job, so that yesterday's run can be looked at and two be compared.

    _homelake/jobs/NAMESPACE/STARTED-NAME.parquet

Its rows are points of a pod's figures (`total`: the whole application's); its footer holds the application as it was at its end, so that a
list reads footers only.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

from include.adapters.network import network_cause
from include.connections import Connection
from include.lake.errors import LakeError, Unreachable
from include.lake.metrics.view import ApplicationView, Figures

T = TypeVar("T")
Columns = Mapping[str, Sequence[float | None]]  # of one length, by the names of Figures' fields
FOLDER = "_homelake/jobs/"
NEWEST = 200
WINDOWS = (timedelta(days=7), timedelta(days=90), None)  # how far back is listed until there are enough; None: to the beginning
TAIL = 64 * 1024  # bytes: a footer is rarely longer
THREADS = 8
ROWS = 32_768  # points of one job at most: the figures of further pods are left out
VIEW, SUMMARY = b"homelake.application", b"homelake.summary"
FACTS = ("namespace", "name", "main", "started", "ended", "phase", "totals", "waste", "origin")
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


class Past:
    """The finished jobs below a prefix of a bucket (`""`, or one that ends with `/`), as the account of the connection `lake_s3` sees them."""

    def __init__(self, connection: Connection, bucket: str, prefix: str = "") -> None:
        self._connection, self.bucket, self.prefix = connection, bucket, prefix
        self._footers: dict[Key, dict[str, Any]] = {}  # an object never changes without its ETag

    @cached_property
    def s3(self) -> Any:
        """boto3's client."""
        import boto3
        from botocore.config import Config

        c = self._connection
        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}, connect_timeout=5, read_timeout=15, max_pool_connections=THREADS)
        return boto3.client("s3", endpoint_url=c.option("endpoint_url") or None, region_name=c.option("region_name") or None, verify=c.option("verify") or None,
                            aws_access_key_id=c.login, aws_secret_access_key=c.password.reveal(), config=config)  # fmt: skip

    def write(self, application: ApplicationView, series: Mapping[str, Columns]) -> str:
        """Keep a job and the course of its figures (of its pods by name, of the whole as `total`); returns the object's key. A second time replaces it."""
        key = Key(application.namespace, _stamp(application.started or application.ended or 0), application.name).path(self.prefix)
        self._do("write", key, lambda: self.s3.put_object(Bucket=self.bucket, Key=key, Body=encode(application, series)))
        return key

    def list(self) -> list[dict[str, Any]]:
        """What is to be told of each in a list, the latest to start first; 200 at most."""
        keys = sorted(self._keys(), key=lambda k: k.started, reverse=True)[:NEWEST]
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(self._footer, keys))
        self._footers = {k: f for k, f in zip(keys, found, strict=True) if f is not None}
        return list(self._footers.values())

    def read(self, namespace: str, name: str) -> dict[str, Any] | None:
        """A job, as `application`, and its `series` by pod; the latest of that name. None: the lake keeps none."""
        if not NAME.fullmatch(namespace) or not NAME.fullmatch(name):
            return None
        keys = [k for k in self._list(namespace, None) if k.name == name]
        path = max(keys, key=lambda k: k.started).path(self.prefix) if keys else ""
        body = self._get(path) if path else None
        return decode(body, path) if body is not None else None

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
                if match := re.fullmatch(r"(\d{8}T\d{6}Z)-(.+)\.parquet", found["Key"].removeprefix(folder)):
                    yield Key(namespace, match[1], match[2], found["ETag"])

    def _pages(self, **where: str) -> Sequence[Mapping[str, Any]]:
        def pages() -> Sequence[Mapping[str, Any]]:
            return list(self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **where))

        return self._do("list", where["Prefix"], pages) or []

    def _footer(self, key: Key) -> dict[str, Any] | None:
        """What a list tells of one; None when it went away meanwhile, or is none of ours."""
        if key in self._footers:
            return self._footers[key]
        path = key.path(self.prefix)
        tail = self._get(path, f"bytes=-{TAIL}")
        if tail is not None and (missing := _footer_length(tail)) > len(tail):
            tail = self._get(path, f"bytes=-{missing}")
        try:
            found: dict[str, Any] = json.loads(_metadata(tail or b"")[SUMMARY])
        except (ValueError, KeyError, OSError):
            return None
        return found

    def _get(self, path: str, part: str = "") -> bytes | None:
        def get() -> bytes | None:
            try:
                return bytes(self.s3.get_object(Bucket=self.bucket, Key=path, **({"Range": part} if part else {}))["Body"].read())
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


def _stamp(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y%m%dT%H%M%SZ}"


def encode(application: ApplicationView, series: Mapping[str, Columns]) -> bytes:
    """The Parquet of a job."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f.name for f in fields(Figures)]
    kinds = {"at": pa.float64(), "tasks": pa.int32()}
    schema = pa.schema([("pod", pa.string()), *((n, kinds.get(n, pa.float64())) for n in names)])
    values: dict[str, list[Any]] = {n: [] for n in schema.names}
    for pod, columns in sorted(series.items(), key=lambda item: item[0] != "total"):
        count = len(columns["at"])
        if values["pod"] and len(values["pod"]) + count > ROWS:
            break
        values["pod"] += [pod] * count
        for name in names:
            values[name] += [_short(name, v) for v in columns.get(name) or [None] * count]
    view = asdict(application)
    out = pa.BufferOutputStream()
    # The Arrow schema would hold the same again, in base64.
    with pq.ParquetWriter(out, schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(pa.table(values, schema=schema))
        writer.add_key_value_metadata({VIEW: json.dumps(view), SUMMARY: json.dumps({k: view[k] for k in FACTS})})
    return bytes(out.getvalue())


def _short(name: str, value: float | None) -> float | int | None:
    """Six digits are more than any source measures, and compress well; moments to the millisecond."""
    if value is None or value != value or abs(value) == float("inf"):
        return None
    return int(value) if name == "tasks" else round(value, 3) if name == "at" else float(f"{value:.6g}")


def decode(body: bytes, what: str) -> dict[str, Any]:
    """A job out of its Parquet: `application`, and `series` by pod. Raises LakeError when it is none of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        application = json.loads(_metadata(body)[VIEW])
        table = pq.read_table(pa.BufferReader(body)).to_pydict()
    except (ValueError, KeyError, OSError):
        raise LakeError("read", what, "it is not a job as Homelake keeps it", "Remove it, or leave it: no other job depends on it") from None
    pods = table.pop("pod")
    starts = [i for i, pod in enumerate(pods) if i == 0 or pods[i - 1] != pod]
    parts = pairwise([*starts, len(pods)])
    return {"application": application, "series": {pods[a]: {n: column[a:b] for n, column in table.items()} for a, b in parts}}


def _metadata(tail: bytes) -> Mapping[bytes, bytes]:
    """The notes in the footer of a Parquet, out of its last bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return dict(pq.read_metadata(pa.BufferReader(tail)).metadata or {})


def _footer_length(tail: bytes) -> int:
    """How many of the last bytes a Parquet's footer takes: its length stands before the closing mark."""
    return int.from_bytes(tail[-8:-4], "little") + 8 if tail[-4:] == b"PAR1" else 0
