"""The readers of bench.tables, which know no library of a format: which files count is what each format's own documents say."""

import io
import json
import zlib
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.minio_server import Kept, MinioOnLoopback
from bench.tables import PEERS, left, prefix
from bench.tables_reader import READERS, Table, avro

ROWS = 3


class Bucket:
    """An S3 client of one bucket, as much of it as the readers use."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get_paginator(self, _: str) -> "Bucket":
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:
        return [{"Contents": [{"Key": k} for k in sorted(self.objects) if k.startswith(Prefix)]}, {}]

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.objects[Key])}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:
        self.objects[Key] = Body


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def table(bucket: Bucket, *data: str) -> Table:
    file = io.BytesIO()
    pq.write_table(pa.table({"a": range(ROWS)}), file)
    bucket.objects |= {f"t/{name}": file.getvalue() for name in data} | {"t/": b""}
    return Table(cast(MinioOnLoopback, SimpleNamespace(s3=bucket, bucket="bench")), "t/")


def put(bucket: Bucket, name: str, *lines: Any) -> None:
    bucket.objects[f"t/{name}"] = "\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines).encode()


def number(n: int) -> bytes:
    n, out = (n << 1) ^ (n >> 63), b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def text(value: str) -> bytes:
    return number(len(value.encode())) + value.encode()


def avro_file(schema: Any, records: list[bytes], codec: str = "deflate") -> bytes:
    body = b"".join(records)
    if codec == "deflate":
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(body) + packer.flush()
    header = number(2) + text("avro.schema") + text(json.dumps(schema)) + text("avro.codec") + text(codec) + number(0)
    return b"Obj\x01" + header + b"s" * 16 + number(len(records)) + number(len(body)) + body + b"s" * 16


def test_a_killed_batch_is_seen_by_who_takes_every_file_and_not_by_who_reads_the_log(bucket: Bucket) -> None:
    there = table(bucket, "bronze/batch=0-aa/date=x/part.parquet")
    put(bucket, "_log/bronze/0.json", {"files": {"bronze": [{"path": "bronze/batch=0-aa/date=x/part.parquet", "bytes": 1}]}})
    put(bucket, "_log/bronze/1.json", {"files": {"bronze": []}})
    there.plant()
    named = READERS["own log"](there)
    assert (there.rows(there.data()), there.rows(named)) == (2 * ROWS, ROWS)


def test_the_file_sink_is_read_from_its_newest_compact_file_on(bucket: Bucket) -> None:
    there = table(bucket)
    line = {n: {"path": f"s3a://bench/t/date%3Dx/{n}.parquet", "action": "add"} for n in "abc"}
    for name, lines in (("9.compact", ["v1", line["a"], line["b"]]), ("8", ["v1", line["b"]]), ("10", ["v1", line["c"]])):
        put(bucket, f"_spark_metadata/{name}", *lines)
    assert READERS["file sink"](there) == [f"t/date=x/{n}.parquet" for n in "abc"]


def test_what_delta_removes_no_longer_counts(bucket: Bucket) -> None:
    there = table(bucket)
    put(bucket, "_delta_log/00000000000000000000.json", {"protocol": {}}, {"add": {"path": "a%20b.parquet"}}, {"add": {"path": "c.parquet"}})
    put(bucket, "_delta_log/00000000000000000001.json", {"remove": {"path": "c.parquet"}}, {"add": {"path": "d.parquet"}})
    put(bucket, "_delta_log/_last_checkpoint", {"version": 1})
    assert READERS["delta"](there) == ["t/a b.parquet", "t/d.parquet"]


@pytest.mark.parametrize("hint", [True, False])
def test_iceberg_counts_what_the_current_snapshot_names_and_does_not_delete(bucket: Bucket, hint: bool) -> None:
    there = table(bucket)
    data_file = {"type": "record", "name": "r2", "fields": [{"name": "content", "type": "int"}, {"name": "file_path", "type": "string"}]}
    entry = {"type": "record", "name": "entry", "fields": [{"name": "status", "type": "int"}, {"name": "snapshot_id", "type": ["null", "long"]},
                                                           {"name": "data_file", "type": data_file}]}  # fmt: skip
    rows = [number(s) + number(1) + number(2**40) + number(0) + text(f"s3a://bench/t/data/{n}.parquet") for s, n in ((1, "a"), (0, "b"), (2, "gone"))]
    bucket.objects["t/metadata/m0.avro"] = avro_file(entry, rows)
    listed = {"type": "record", "name": "manifest_file", "fields": [{"name": "manifest_path", "type": "string"}]}
    bucket.objects["t/metadata/snap-7.avro"] = avro_file(listed, [text("s3a://bench/t/metadata/m0.avro")], "null")
    state = {"current-snapshot-id": 7, "snapshots": [{"snapshot-id": 6}, {"snapshot-id": 7, "manifest-list": "s3a://bench/t/metadata/snap-7.avro"}]}
    put(bucket, "metadata/v2.metadata.json" if hint else "metadata/00002-x.metadata.json", state)
    if hint:
        put(bucket, "metadata/version-hint.text", "2")
        put(bucket, "metadata/v3.metadata.json", {})  # of a commit that did not get as far as the hint
    else:
        put(bucket, "metadata/00001-y.metadata.json", {})
    assert READERS["iceberg"](there) == ["t/data/a.parquet", "t/data/b.parquet"]


def test_avro_of_every_shape_that_manifests_have(bucket: Bucket) -> None:
    fixed = {"type": "fixed", "name": "four", "size": 4}
    fields = {"f": fixed, "again": "four", "b": "boolean", "d": "double", "l": {"type": "array", "items": "long"}, "m": {"type": "map", "values": "bytes"}}
    schema = {"type": "record", "name": "r", "fields": [{"name": n, "type": t} for n, t in fields.items()]}
    # The array in a block that tells its bytes, and one that does not.
    record = b"abcd" + b"efgh" + b"\x01" + b"8bytes.." + number(-2) + number(3) + number(-1) + number(300) + number(1) + number(5) + number(0)
    record += number(1) + text("k") + text("v") + number(0)
    found = avro(avro_file(schema, [record, record]))
    assert found == [{"f": b"abcd", "again": b"efgh", "b": True, "d": b"8bytes..", "l": [-1, 300, 5], "m": {"k": b"v"}}] * 2


def test_a_torn_avro_file_is_no_table() -> None:
    whole = avro_file({"type": "record", "name": "r", "fields": [{"name": "a", "type": "long"}]}, [number(1)])
    with pytest.raises(ValueError, match="torn"):
        avro(whole[:-1] + b"x")
    with pytest.raises(ValueError, match="no Avro file"):
        avro(b"PAR1" + whole)


def test_what_is_left_is_told_for_a_batch_as_the_median_of_the_runs() -> None:
    runs = [Kept(20, 10_240, 10, 0, 2_048), Kept(40, 20_480, 10, 10, 2_048), Kept(60, 20_480, 10, 10, 2_048)]
    row = left({"own log": runs}, 10).splitlines()[2]
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["own log", "4", "1", "1", "2", "0.20", "0"]


def test_no_two_peers_share_a_table() -> None:
    assert len({prefix(p, "r0") for p in PEERS}) == len(PEERS)
