"""Files of the lake without Spark: a file that is written in one step, or was there."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "jobs"))
from payments_store import Store

EXISTS = "org.apache.hadoop.fs.FileAlreadyExistsException: _log/silver/1.json, Status Code: 412"


class Written:
    """Hadoop's builder of a file, and the stream it gives; what `close` raises is the answer to the request."""

    def __init__(self, close: Callable[[bytes], None]) -> None:
        self._close, self._content = close, b""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self

    def write(self, content: bytearray) -> None:
        self._content += bytes(content)

    def close(self) -> None:
        self._close(self._content)


class OnS3(Store):  # type: ignore[misc]
    """A store of one file, by whose conditional request `answer` is raised."""

    def __init__(self, there: str | None, answer: str, *, arrives: bool) -> None:
        self._s3, self._fs, self.there, self._answer, self._arrives = True, self, there, answer, arrives

    def _at(self, name: str) -> str:
        return name

    def createFile(self, path: str) -> Written:
        return Written(self._put)

    def _put(self, content: bytes) -> None:
        if self._arrives:
            self.there = content.decode()
        if self._answer:
            raise OSError(self._answer)

    def read(self, name: str) -> str | None:
        return self.there


@pytest.mark.parametrize(
    ("there", "answer", "arrives", "written"),
    [(None, "", True, True), ("another's", EXISTS, False, False), (None, EXISTS, True, True), (None, EXISTS, False, False)],
)
def test_a_file_is_written_when_it_holds_what_was_sent_whatever_the_answer(there: str | None, answer: str, arrives: bool, written: bool) -> None:
    """The third: the first answer was lost, and the client's second request finds the file of the first."""
    assert OnS3(there, answer, arrives=arrives).create("_log/silver/1.json", "mine") is written
    assert OnS3(there, answer, arrives=arrives).replace("_log/silver/compacted.json", "mine", "etag") is written


def test_what_else_went_wrong_is_passed_on() -> None:
    with pytest.raises(OSError, match="Connection refused"):
        OnS3(None, "Connection refused", arrives=False).create("a", "mine")
