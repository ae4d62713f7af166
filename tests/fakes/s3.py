"""An S3 in memory that speaks HTTP on loopback, so that boto3 itself is what is tested: put (also on a condition), get with a range, and list."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from include.connections import Connection
from include.lake.secret import Secret

PAGE = 1000  # keys that one answer to a list holds


class FakeS3:
    """One bucket's objects; `asked` are the calls, `refuse` an error code that all of them get. `meanwhile`: what another writes just before each put."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.meanwhile: list[bytes] = []
        self.page, self.refuse, self.port = PAGE, "", 0

    def connection(self) -> Connection:
        """The connection that leads here."""
        extra = {"endpoint_url": f"http://127.0.0.1:{self.port}", "region_name": "r1"}
        return Connection("lake_s3", "aws", "", "root", Secret("hunter2"), None, extra)

    def get(self, key: str, part: str) -> tuple[int, bytes]:
        """Status and body. `part` as `bytes=-100`."""
        if key not in self.objects:
            return 404, _error("NoSuchKey")
        body = self.objects[key]
        return (206, body[-int(part.removeprefix("bytes=-")) :]) if part else (200, body)

    def list(self, prefix: str, after: str, delimiter: str) -> bytes:
        """As ListObjectsV2: in the keys' order, each common prefix once."""
        keys = sorted(k for k in self.objects if k.startswith(prefix) and k > after)
        common = sorted(
            {prefix + k.removeprefix(prefix).split(delimiter)[0] + delimiter for k in keys if delimiter in k.removeprefix(prefix)} if delimiter else ()
        )
        plain = [k for k in keys if not delimiter or delimiter not in k.removeprefix(prefix)]
        more = plain[self.page :]
        rows = "".join(f"<Contents><Key>{escape(k)}</Key><ETag>{_etag(self.objects[k])}</ETag></Contents>" for k in plain[: self.page])
        rows += "".join(f"<CommonPrefixes><Prefix>{escape(p)}</Prefix></CommonPrefixes>" for p in common)
        rest = (
            f"<IsTruncated>true</IsTruncated><NextContinuationToken>{escape(plain[self.page - 1])}</NextContinuationToken>"
            if more
            else "<IsTruncated>false</IsTruncated>"
        )
        return f"<ListBucketResult>{rows}{rest}</ListBucketResult>".encode()


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code></Error>".encode()


@contextmanager
def served() -> Iterator[FakeS3]:
    """One that answers, on a port of its own."""
    store = FakeS3()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            key, query = unquote(url.path).lstrip("/").partition("/")[2], {k: v[0] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
            store.asked.append(("list" if "list-type" in query else "get", query.get("prefix", key)))
            if store.refuse:
                self._answer(403, _error(store.refuse))
            elif "list-type" in query:
                after = query.get("continuation-token") or query.get("start-after", "")
                self._answer(200, store.list(query.get("prefix", ""), after, query.get("delimiter", "")))
            else:
                self._answer(*store.get(key, self.headers.get("Range", "")), _etag(store.objects.get(key, b"")))

        def do_PUT(self) -> None:
            key = unquote(self.path).lstrip("/").partition("/")[2].partition("?")[0]
            store.asked.append(("put", key))
            body = self._body()
            if store.refuse:
                return self._answer(403, _error(store.refuse))
            if store.meanwhile:
                store.objects[key] = store.meanwhile.pop(0)
            there = _etag(store.objects[key]) if key in store.objects else ""
            if (self.headers["If-None-Match"] and there) or (self.headers["If-Match"] and self.headers["If-Match"] != there):
                return self._answer(412, _error("PreconditionFailed"))
            store.objects[key] = body
            return self._answer(200, b"")

        def _body(self) -> bytes:
            if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
                return self.rfile.read(int(self.headers["Content-Length"]))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body

        def _answer(self, status: int, body: bytes, etag: str = "") -> None:
            self.send_response(status)
            self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    store.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
