"""Readers without Spark, without a catalogue and without a format's library: which Parquet files of a table count, said by the table's own log."""

import io
import json
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq

from bench.minio_server import MinioOnLoopback


class Table:
    """A table below a prefix of the bench's bucket."""

    def __init__(self, server: MinioOnLoopback, prefix: str) -> None:
        self.server, self.prefix = server, prefix
        self._base = f"s3a://{server.bucket}/"

    def keys(self, under: str = "") -> list[str]:
        """Keys below a folder of the table, in order, without markers of folders."""
        pages = self.server.s3.get_paginator("list_objects_v2").paginate(Bucket=self.server.bucket, Prefix=self.prefix + under)
        return [o["Key"] for p in pages for o in p.get("Contents", []) if not o["Key"].endswith("/")]

    def body(self, key: str) -> bytes:
        """An object's bytes."""
        return bytes(self.server.s3.get_object(Bucket=self.server.bucket, Key=key)["Body"].read())

    def key(self, address: str) -> str:
        """The key in an s3a:// address."""
        return address.removeprefix(self._base)

    def data(self) -> list[str]:
        """Every Parquet file that is not in a log: what a reader takes who knows of none."""
        return [k for k in self.keys() if k.endswith(".parquet") and "/_" not in k]

    def rows(self, keys: list[str]) -> int:
        """The rows of some files, out of their footers."""
        return sum(pq.read_metadata(io.BytesIO(self.body(k))).num_rows for k in keys)

    def plant(self) -> None:
        """A data file that no commit names, as a killed batch leaves one, beside the others."""
        model = self.data()[-1]
        place, _, name = model.rpartition("/")
        self.server.s3.put_object(Bucket=self.server.bucket, Key=f"{place}/killed-{name}", Body=self.body(model))


def own_log(table: Table) -> list[str]:
    """The stream's log: `_log/bronze/N.json`."""
    entries = [json.loads(table.body(k)) for k in table.keys("_log/bronze/")]
    return [table.prefix + file["path"] for e in entries for file in e["files"]["bronze"]]


def file_sink(table: Table) -> list[str]:
    """Spark's file sink: the newest `_spark_metadata/N.compact`, and what follows it."""
    numbered = {k: int(k.rpartition("/")[2].removesuffix(".compact")) for k in table.keys("_spark_metadata/")}
    start = max((n for k, n in numbered.items() if k.endswith(".compact")), default=-1)
    counted = sorted((n, k) for k, n in numbered.items() if n > start or (n == start and k.endswith(".compact")))
    lines = [line for _, k in counted for line in table.body(k).decode().splitlines()[1:]]
    return [table.key(unquote(json.loads(line)["path"])) for line in lines]


def delta(table: Table) -> list[str]:
    """Delta Lake: the actions of `_delta_log/N.json`, all of which are there (it removes those older than 30 days, and then a checkpoint is to be read)."""
    there: dict[str, None] = {}
    for key in table.keys("_delta_log/"):
        if key.endswith(".json") and key.rpartition("/")[2][:-5].isdigit():
            for action in (json.loads(line) for line in table.body(key).splitlines()):
                if "add" in action:
                    there[table.prefix + unquote(action["add"]["path"])] = None
                elif "remove" in action:
                    there.pop(table.prefix + unquote(action["remove"]["path"]), None)
    return list(there)


def iceberg(table: Table) -> list[str]:
    """Iceberg: the file of metadata that `version-hint.text` names; where a catalogue keeps that name, the newest by its number, which is a guess."""
    metadata = {k.rpartition("/")[2]: k for k in table.keys("metadata/")}
    if hint := metadata.get("version-hint.text"):
        newest = f"v{table.body(hint).decode().strip()}.metadata.json"
    else:
        newest = max(n for n in metadata if n.endswith(".metadata.json"))
    state = json.loads(table.body(metadata[newest]))
    current = next(s for s in state["snapshots"] if s["snapshot-id"] == state["current-snapshot-id"])
    found = []
    for manifest in avro(table.body(table.key(current["manifest-list"]))):
        found += [e["data_file"]["file_path"] for e in avro(table.body(table.key(manifest["manifest_path"]))) if e["status"] != 2]
    return [table.key(f) for f in found]


READERS: dict[str, Callable[[Table], list[str]]] = {"own log": own_log, "file sink": file_sink, "delta": delta, "iceberg": iceberg}


def avro(data: bytes) -> list[dict[str, Any]]:
    """The records of an Avro file (Apache Avro specification, "Object Container Files"), uncompressed or by deflate. Raises ValueError if it is none, or torn."""
    stream = io.BytesIO(data)
    if stream.read(4) != b"Obj\x01":
        raise ValueError("this is no Avro file")
    names: dict[str, Any] = {}
    header = _value({"type": "map", "values": "bytes"}, stream, names)
    schema, sync, records = json.loads(header["avro.schema"]), stream.read(16), []
    while stream.tell() < len(data):
        count, size = _long(stream), _long(stream)
        block = stream.read(size)
        if stream.read(16) != sync:
            raise ValueError("this Avro file is torn")
        if header.get("avro.codec", b"null") == b"deflate":
            block = zlib.decompress(block, -15)
        body = io.BytesIO(block)
        records += [_value(schema, body, names) for _ in range(count)]
    return records


def _long(stream: io.BytesIO) -> int:
    number = shift = 0
    while True:
        byte = stream.read(1)[0]
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1)


def _blocks(stream: io.BytesIO, one: Callable[[], Any]) -> list[Any]:
    found = []
    while count := _long(stream):
        if count < 0:
            count = -count
            _long(stream)  # its bytes, for readers who skip it
        found += [one() for _ in range(count)]
    return found


def _value(schema: Any, stream: io.BytesIO, names: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return _value(schema[_long(stream)], stream, names)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if isinstance(kind, dict | list):
        return _value(kind, stream, names)
    if kind in ("record", "fixed", "enum"):
        names[schema["name"]] = schema
    match kind:
        case "null":
            return None
        case "boolean":
            return stream.read(1) == b"\x01"
        case "int" | "long" | "enum":
            return _long(stream)
        case "bytes" | "string":
            raw = stream.read(_long(stream))
            return raw.decode() if kind == "string" else raw
        case "fixed" | "float" | "double":
            return stream.read({"float": 4, "double": 8}.get(kind) or schema["size"])
        case "array":
            return _blocks(stream, lambda: _value(schema["items"], stream, names))
        case "map":
            return dict(_blocks(stream, lambda: (_value("string", stream, names), _value(schema["values"], stream, names))))
        case "record":
            return {f["name"]: _value(f["type"], stream, names) for f in schema["fields"]}
    return _value(names[kind], stream, names)
