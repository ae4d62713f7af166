"""Kafka's log-in in the words of Kafka's Java client, out of the connection `kafka_default`, which has librdkafka's."""

from collections.abc import Mapping
from pathlib import Path

from include.connections import Connection
from include.lake.errors import LakeError
from include.lake.secret import Secret
from include.lake.stream import KAFKA_MOUNT, PROPERTIES

CA = "ca.pem"
_LOGIN = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}
_OF_SECURITY = ("ssl.", "sasl.", "security.", "enable.ssl", "oauth", "https.")
_TAKEN = {"security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password", "ssl.ca.location", "ssl.ca.pem",
          "ssl.endpoint.identification.algorithm"}  # fmt: skip
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


def login_files(connection: Connection, options: Mapping[str, object]) -> frozenset[tuple[str, Secret]]:
    """The files that a driver and its executors log in to Kafka with; none where Kafka asks for nothing.

    `options` are librdkafka's properties. Raises LakeError for a setting of security that has no counterpart here, so that
    nobody is let in, or kept out, by half of a setting.
    """
    given = {n: str(v) for n, v in options.items() if n.startswith(_OF_SECURITY)}
    protocol = given.get("security.protocol", "PLAINTEXT").upper()
    if unknown := sorted(set(given) - _TAKEN):
        raise _wrong(connection, f"the stream does not take {', '.join(unknown)} over to Spark",
                     f"It takes {', '.join(sorted(_TAKEN))}: give the stream's account a log-in by these")  # fmt: skip
    if protocol not in _PROTOCOLS:
        raise _wrong(connection, f"security.protocol is {given['security.protocol']}", f"Known are {', '.join(_PROTOCOLS)}")
    if protocol == "PLAINTEXT":
        return frozenset()
    lines, files = {"security.protocol": protocol}, {}
    if protocol.startswith("SASL"):
        lines |= _sasl(connection, given)
    if protocol.endswith("SSL"):
        if ca := _ca(connection, given):
            files[CA] = ca
            lines |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": f"{KAFKA_MOUNT}/{CA}"}
        if (checked := given.get("ssl.endpoint.identification.algorithm")) is not None:
            lines["ssl.endpoint.identification.algorithm"] = "" if checked == "none" else checked
    files[PROPERTIES] = "".join(f"{name}={value}\n" for name, value in lines.items())
    return frozenset((name, Secret(text)) for name, text in files.items())


def _sasl(connection: Connection, given: Mapping[str, str]) -> dict[str, str]:
    mechanism = given.get("sasl.mechanisms") or given.get("sasl.mechanism") or "GSSAPI"  # librdkafka's own default
    user, password = given.get("sasl.username", ""), given.get("sasl.password", "")
    if mechanism not in _LOGIN:
        raise _wrong(connection, f"the stream cannot log in to Kafka by {mechanism}", f"Known are {', '.join(_LOGIN)}: set sasl.mechanisms")
    if not user or not password:
        raise _wrong(connection, "sasl.username or sasl.password is empty", "Set both")
    if any(c in user + password for c in "\r\n"):
        raise _wrong(connection, "sasl.username or sasl.password has a line break", "Take it away")
    module = f'{_LOGIN[mechanism]} required username="{_quoted(user)}" password="{_quoted(password)}";'
    return {"sasl.mechanism": mechanism, "sasl.jaas.config": module}


def _quoted(text: str) -> str:
    """Inside the double quotes of a JAAS line."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _ca(connection: Connection, given: Mapping[str, str]) -> str:
    """The certificates that the brokers' are held against; empty: those that the image trusts."""
    if given.get("ssl.ca.pem"):
        return given["ssl.ca.pem"]
    path = given.get("ssl.ca.location", "")
    if path in ("", "probe"):
        return ""
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "it is not PEM"
        raise _wrong(connection, f"ssl.ca.location {path} cannot be read: {cause}", "Name a file of PEM certificates") from None


def _wrong(connection: Connection, cause: str, remedy: str) -> LakeError:
    return LakeError("use", f"the connection {connection.id!r} for the stream", cause, remedy)
