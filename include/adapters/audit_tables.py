"""The audit's tables: filled from Parquet files that the stream's log names, and asked in SQL by DuckDB in this process."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

from include.adapters.s3 import endpoint_of
from include.connections import Connection
from include.lake.errors import LakeError

EVENT = "try(json_extract_string(try(decode(value)), ['$.id', '$.ts'])) as event"
# What is read of a table's files, in the order in which the audit's table has it.
READ: Mapping[str, tuple[str, ...]] = {
    "bronze": ("partition", "offset", "value"),
    "silver": ("id", "account", "seq", "ts", "type", "status", "amount", "currency", "postings", "late", "partition", "offset", "timestamp", "batch"),
    "dead": ("partition", "offset"),
    "figures": ("minute", "currency", "type", "status", "events", "amount", "late"),
    "alerts": ("id", "events"),
}
# And in SQL what is kept of it, where that is something else. A list index beyond the list, or of no list, is null.
KEPT = {"bronze": f'select partition, "offset", event[1], try_cast(event[2] as bigint) from (select partition, "offset", {EVENT} from source)'}
MEMORY = "512MB"  # what DuckDB may hold; beyond it, it uses its folder
ROWS, AHEAD = 16_384, 4  # rows that are decoded at a time, and how many such and how many files at once


class Tables:
    """The tables of one audit: in memory as far as MEMORY goes, and else in a folder of their own (mode 0700) that goes away with them."""

    def __init__(self, connection: Connection, base: str, folder: str) -> None:
        import duckdb  # loaded by an audit only

        self._base, self._source = base, filesystem(connection)
        given: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": folder,
            "preserve_insertion_order": "false",
        }
        self._db = duckdb.connect(":memory:", config=given)

    @classmethod
    @contextmanager
    def opened(cls, connection: Connection, base: str) -> Iterator[Self]:
        """Tables of files below `base` (bucket and folder, with a / at its end). They hold payments, so nobody else may read the folder."""
        with tempfile.TemporaryDirectory(prefix="homelake-audit-") as folder:
            tables = cls(connection, base, folder)
            try:
                yield tables
            finally:
                tables._db.close()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        return list(self._db.execute(sql).fetchall())

    def fill(self, table: str, rows: Sequence[tuple[int | str, ...]]) -> None:
        """Add rows to a table."""
        if rows:
            self._db.executemany(f"insert into {table} values ({', '.join('?' * len(rows[0]))})", rows)

    def read(self, table: str, files: Sequence[Mapping[str, Any]]) -> None:
        """Add the rows of a table's files, of which the log says `path` and `bytes`."""
        columns = READ[table]
        kept = KEPT.get(table) or "select " + ", ".join(f'"{c}"' for c in columns) + " from source"
        self.gather(table, files, columns, f"insert into {table} {kept}")

    def gather(self, table: str, files: Sequence[Mapping[str, Any]], columns: Sequence[str], sql: str, most: tuple[str, int] | None = None) -> None:
        """Run a statement on `source`: these columns of a table's files, which are read once, a few rows at a time. Nothing else of the files is.

        `most`: only rows whose column is at most so large are wanted, so that files may be left out by what they say of themselves.
        """
        import duckdb
        from pyarrow.lib import ArrowException

        if not files:
            return
        try:
            self._db.register("source", self._rows(files, columns, most))
            self._db.execute(sql)
            self._db.unregister("source")
        except (OSError, ArrowException, duckdb.Error) as error:
            raise _unread(self._base, table, error) from None

    def _rows(self, files: Sequence[Mapping[str, Any]], columns: Sequence[str], most: tuple[str, int] | None) -> Any:
        from pyarrow.dataset import FileSystemDataset, ParquetFileFormat, field

        form = ParquetFileFormat()
        # With its size no file has to be looked at before it is read.
        fragments = [form.make_fragment(f"{self._base}{f['path']}", self._source, file_size=f["bytes"]) for f in files]
        whole = FileSystemDataset(fragments, fragments[0].physical_schema, form, self._source)
        # Threads of its own would read on while DuckDB has still to take what is there, and hold it all in memory.
        wanted = field(most[0]) <= most[1] if most else None
        return whole.scanner(
            columns=list(columns), filter=wanted, batch_size=ROWS, batch_readahead=AHEAD, fragment_readahead=AHEAD, use_threads=False
        ).to_reader()


def _unread(where: str, table: str, error: Exception) -> LakeError:
    cause = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return LakeError("read", f"the table {table} below s3://{where}", cause,
                     "When a file that the log names is gone or damaged: bring its version before back, or a backup; else run it again")  # fmt: skip


def filesystem(c: Connection) -> Any:
    """The lake as PyArrow reads it."""
    from pyarrow.fs import S3FileSystem

    url = urlsplit(endpoint_of(c))
    more = {"tls_ca_file_path": c.option("verify")} if c.option("verify") else {}
    return S3FileSystem(access_key=c.login, secret_key=c.password.reveal(), endpoint_override=url.netloc, scheme=url.scheme or "https",
                        region=c.option("region_name") or None, connect_timeout=10, request_timeout=60, **more)  # fmt: skip
