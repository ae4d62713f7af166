"""A finished Spark job as one Parquet: its rows are points of a pod's figures (`total`: the whole application's); its footer holds the application as
it was at its end, so that a list reads footers only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from itertools import pairwise
from math import inf
from typing import Any

from include.lake.errors import LakeError
from include.lake.metrics.view import ApplicationView, Figures

Columns = Mapping[str, Sequence[float | None]]  # of one length, by the names of Figures' fields
ROWS = 32_768  # points of one job at most: the figures of further pods are left out
VIEW, SUMMARY = b"homelake.application", b"homelake.summary"
FACTS = ("namespace", "name", "main", "started", "ended", "phase", "totals", "waste", "origin")


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
        application = json.loads(metadata(body)[VIEW])
        table = pq.read_table(pa.BufferReader(body)).to_pydict()
    except (ValueError, KeyError, OSError):
        raise LakeError("read", what, "it is not a job as Homelake keeps it", "Remove it, or leave it: no other job depends on it") from None
    pods = table.pop("pod")
    starts = [i for i, pod in enumerate(pods) if i == 0 or pods[i - 1] != pod]
    parts = pairwise([*starts, len(pods)])
    return {"application": application, "series": {pods[a]: {n: column[a:b] for n, column in table.items()} for a, b in parts}}


def metadata(tail: bytes) -> Mapping[bytes, bytes]:
    """The notes in the footer of a Parquet, out of its last bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return dict(pq.read_metadata(pa.BufferReader(tail)).metadata or {})


def footer_length(tail: bytes) -> int:
    """How many of the last bytes a Parquet's footer takes: its length stands before the closing mark."""
    return int.from_bytes(tail[-8:-4], "little") + 8 if tail[-4:] == b"PAR1" else 0


def begins(tail: bytes) -> float:
    """The moment of a job's first point, out of the last bytes of its Parquet; infinite when it has none, or is none of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(pa.BufferReader(tail))
        column = footer.schema.names.index("at")
    except (ValueError, OSError):
        return inf
    told = (footer.row_group(i).column(column).statistics for i in range(footer.num_row_groups))
    return min((float(s.min) for s in told if s is not None and s.has_min_max), default=inf)
