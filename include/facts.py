"""A site's facts: `KEY=value` lines under the names that `./lake lab env` prints, in a file that others cannot read."""

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

from include.lake.errors import LakeError, SpecError

# librdkafka's names, as the connection has them, and the facts'.
KAFKA = {"bootstrap.servers": "KAFKA_BOOTSTRAP", "security.protocol": "KAFKA_SECURITY_PROTOCOL", "sasl.mechanisms": "KAFKA_SASL_MECHANISM",
         "sasl.username": "KAFKA_SASL_USERNAME", "sasl.password": "KAFKA_SASL_PASSWORD", "ssl.ca.location": "KAFKA_CA"}  # fmt: skip
TOKENS = tuple(f"PVE_{kind}TOKEN_{part}" for kind in ("BOOTSTRAP_", "", "NOPRIV_") for part in ("ID", "SECRET"))
KEYS = ("PVE_URL", "PVE_CA", *TOKENS, "PVE_NODE", "PVE_VMID", "PVE_STORAGE", "SSH_HOST", "SSH_PORT", "SSH_USER", "SSH_KEY", "SSH_KNOWN_HOSTS",
        "S3_ENDPOINT", "S3_REGION", "S3_ROOT_USER", "S3_ROOT_PASSWORD", "S3_CA", "KUBECONFIG", *KAFKA.values())  # fmt: skip


def parse_facts(text: str) -> dict[str, str]:
    """`KEY=value` lines, as a shell reads them: `#` starts a comment line, quotes around a whole value are left out."""
    lines = (line.strip().removeprefix("export ") for line in text.splitlines())
    return {k.strip(): _unquoted(v.strip()) for k, _, v in (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))}


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def read_facts(path: Path) -> dict[str, str]:
    """The facts of a site's file. Raises LakeError when others can read it, when it cannot be read, or with every line that is no fact."""
    what = f"the site's facts {path}"
    try:
        if path.stat().st_mode & 0o077:
            raise LakeError("read", what, "others can read it, and it holds secrets", f"chmod 600 {path}")
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark of its encoding
    except UnicodeDecodeError:
        raise LakeError("read", what, "it is not UTF-8 text") from None
    except OSError as error:
        raise LakeError("read", what, error.strerror or str(error), "Run as its owner") from None
    if wrong := tuple(_problems(text)):
        raise SpecError(what, wrong)
    return parse_facts(text)


def _problems(text: str) -> Iterator[str]:
    """What is wrong in which line. The line itself is never shown: it may be a part of a secret."""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip().removeprefix("export ")
        key, equals, _ = line.partition("=")
        key = key.strip()
        if not line or line.startswith("#") or (key in KEYS and equals):
            continue
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", key):
            yield f"line {number}: it is not in the form KEY=value. Correct it, or begin it with #."
        elif near := difflib.get_close_matches(key.upper(), KEYS, 1):
            yield f"line {number}: unknown key {key}. Did you mean {near[0]!r}?"
        else:
            yield f"line {number}: unknown key {key}. Known are {', '.join(KEYS)}."
