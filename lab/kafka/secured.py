"""A broker that lets in by TLS and password alone, as a company's does: for tests of the log-in."""

import ipaddress
import secrets
import socket
from pathlib import Path

from cryptography import x509

from lab.kafka.broker import Broker
from lab.keys import certificates, write

USER = "payments"
# Beside the two listeners that a broker has for itself. The last value of a name counts.
_MORE = """
listeners=PLAINTEXT://{inner},CONTROLLER://127.0.0.1:{controller},CLIENTS://{outer}
advertised.listeners=PLAINTEXT://{inner},CONTROLLER://127.0.0.1:{controller},CLIENTS://{outer}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENTS:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={keys}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.clients.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.clients.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


class SecuredBroker(Broker):
    """Clients log in at `secured` as USER with `password`; `ca` is what its certificate is held against. `address` stays open, for the test's own use."""

    def __init__(self, folder: Path, memory: str = "512m") -> None:
        self.password, self.ca = secrets.token_hex(16), folder / "ca.pem"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.secured = f"127.0.0.1:{free.getsockname()[1]}"
        super().__init__(folder, memory)

    def settings(self, controller: int) -> str:
        """A broker's own, with a listener that asks for TLS and a password."""
        ca, key, certificate = certificates("Homelake test CA", "broker", [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        keys = self.folder / "broker.pem"
        write(keys, key + certificate)
        self.ca.write_bytes(ca)
        return super().settings(controller) + _MORE.format(
            inner=self.address, outer=self.secured, controller=controller, keys=keys, user=USER, password=self.password
        )

    def format_options(self) -> list[str]:
        """The user as SCRAM knows it."""
        return ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={self.password}]"]
