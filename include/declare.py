"""Parts of the declaration that are shipped behind marks (`#| `): taken in by taking the marks away, and nothing else of the file is touched."""

import os
import re
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from include.lake.errors import LakeError
from include.lake.spec import check_spec, read_spec

_MARKED = re.compile(r"^(?P<indent> *)#\|(?: (?P<rest>[^\r\n]*))?(?=\r?$)", re.MULTILINE)


def unmarked(text: str) -> str:
    """The declaration with every marked line as one that counts. A line that has no mark stays as it is, and so do the ends of all lines."""
    return _MARKED.sub(lambda m: m["indent"] + m["rest"] if m["rest"] else "", text)


def declare_stream(path: Path) -> bool:
    """Take the marks away from a declaration that has no stream yet; whether there was anything to do. Raises LakeError, and then the file is as it was."""
    if read_spec(path).payments is not None:
        return False
    file = path.resolve()  # a link stays one
    try:
        text = file.read_bytes().decode()  # as it is: reading it as text would change the ends of its lines
        whole = unmarked(text)
        if whole == text:
            raise LakeError("declare", "the stream", f"{path} has no lines marked with #|", "Declare kafka and payments yourself: docs/reference/lake-yaml.md")
        check_spec(whole, path)
        _replace(file, whole.encode())
    except OSError as error:
        raise LakeError("declare", "the stream", f"{path} cannot be changed ({error.strerror or error})", "Make the file and its folder writable") from None
    return True


def _replace(file: Path, content: bytes) -> None:
    """Put other content in a file's place, whole or not at all, with its mode and, where that is allowed, its owner."""
    before = file.stat()
    with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as beside:
        new = Path(beside.name)
        try:
            beside.write(content)
            beside.flush()
            os.fsync(beside.fileno())
            with suppress(PermissionError):
                os.fchown(beside.fileno(), before.st_uid, before.st_gid)
            os.fchmod(beside.fileno(), before.st_mode & 0o7777)
            new.replace(file)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
