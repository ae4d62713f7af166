"""Kafka's log-in for Spark, out of librdkafka's properties."""

from pathlib import Path

import pytest

from include.adapters.kafka_java import login_files
from include.connections import Connection
from include.lake.errors import LakeError

CONNECTION = Connection("kafka_default", "kafka")
SASL = {"security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": "spark", "sasl.password": 'a"b\\c'}


def files(options: dict[str, str]) -> dict[str, str]:
    return {name: text.reveal() for name, text in login_files(CONNECTION, {"bootstrap.servers": "h:1", **options})}


@pytest.mark.parametrize("options", [{}, {"security.protocol": "plaintext"}, {"socket.timeout.ms": "10"}])
def test_a_kafka_that_asks_for_nothing_takes_no_files(options: dict[str, str]) -> None:
    assert files(options) == {}


def test_a_password_goes_into_a_jaas_line_with_its_quotes_kept(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    found = files(SASL | {"ssl.ca.location": str(ca), "ssl.endpoint.identification.algorithm": "none"})
    assert found["ca.pem"] == ca.read_text()
    assert found["client.properties"].splitlines() == [
        "security.protocol=SASL_SSL", "sasl.mechanism=SCRAM-SHA-512",
        'sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="spark" password="a\\"b\\\\c";',
        "ssl.truststore.type=PEM", "ssl.truststore.location=/opt/homelake/kafka/ca.pem", "ssl.endpoint.identification.algorithm=",
    ]  # fmt: skip


def test_tls_alone_trusts_what_the_image_does() -> None:
    assert files({"security.protocol": "ssl"}) == {"client.properties": "security.protocol=SSL\n"}


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"security.protocol": "SSL", "ssl.key.pem": "the-key"}, r"does not take ssl\.key\.pem over"),
        ({"security.protocol": "SSL", "enable.ssl.certificate.verification": "false"}, "does not take enable.ssl.certificate.verification over"),
        ({"security.protocol": "TLS"}, "security.protocol is TLS"),
        ({"security.protocol": "SASL_SSL"}, "cannot log in to Kafka by GSSAPI"),
        (SASL | {"sasl.password": ""}, "sasl.username or sasl.password is empty"),
        (SASL | {"sasl.password": "a\nb=c"}, "has a line break"),
        (SASL | {"ssl.ca.location": "/nosuch/ca.pem"}, r"ssl\.ca\.location /nosuch/ca\.pem cannot be read"),
    ],
)
def test_half_a_log_in_is_refused(options: dict[str, str], cause: str) -> None:
    with pytest.raises(LakeError, match=cause) as caught:
        files(options)
    assert str(caught.value).startswith("Unable to use the connection 'kafka_default' for the stream: ")
    assert not [s for s in ("the-key", 'a"b', "a\nb") if s in str(caught.value)]
