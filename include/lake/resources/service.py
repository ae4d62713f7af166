"""MinIO as a systemd service (requirements B3, B4, A4)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from include.lake.resource import Change, Plan, Resource
from include.lake.secret import Secret, SecretRef
from include.lake.units import Seconds

HEADER = "# Written by Homelake; changes are undone at the next run."
DRAIN = 3  # seconds that requests under way have before MinIO is told to end


@dataclass(frozen=True)
class ServiceState:
    """A service: its unit's text, its environment (without secrets), root's credentials, and how it runs.

    `current`: what runs is newer than its program and its settings. `serving`: S3 itself answers.
    """

    unit: str | None = field(repr=False)
    environment: tuple[str, ...] | None
    credentials: Any  # Secret, `user:password`
    enabled: bool = True
    current: bool = True
    serving: bool = True


class ServiceClient(Protocol):
    """What a service needs of the guest, and the one secret it is handed."""

    def secret(self, ref: SecretRef) -> Secret:
        """A secret's value, from its connection."""

    def service(self, name: str, port: int) -> ServiceState | None:
        """The service there; None when it has neither unit nor settings."""

    def write_unit(self, name: str, text: str) -> None:
        """Write its unit."""

    def write_environment(self, name: str, group: str, lines: tuple[str, ...], credentials: Secret) -> None:
        """Write its settings, mode 0640, root and its group."""

    def enable(self, name: str) -> None:
        """Start it at every boot."""

    def restart(self, name: str) -> None:
        """Start it, or start it anew."""

    def remove_service(self, name: str) -> None:
        """Stop it, and remove its settings and its unit."""

    def wait_serving(self, name: str, port: int) -> None:
        """Wait until S3 answers. Raises LakeError with the journal as soon as the service restarts in a loop."""


@dataclass(frozen=True)
class Service(Resource[ServiceState, ServiceClient]):
    """The service. It is restarted when its unit, settings or program changed, and at no other time."""

    part: ClassVar[str] = "host"
    name: str
    account: str
    port: int
    credentials: SecretRef
    unit_needs: tuple[str, ...]
    desired: ServiceState | None

    @property
    def id(self) -> str:
        """`service/minio`."""
        return f"service/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Mount, account and program."""
        return self.unit_needs

    def want(self, client: ServiceClient) -> ServiceState | None:
        """What is declared, with the credentials of the connection."""
        if self.desired is None:
            return None
        d = self.desired
        return ServiceState(d.unit, d.environment, client.secret(self.credentials), d.enabled, d.current, d.serving)

    def observe(self, client: ServiceClient) -> ServiceState | None:
        """The service there."""
        return client.service(self.name, self.port)

    def usable(self, observed: ServiceState) -> bool:
        """A service is of use once S3 answers."""
        return observed.serving

    def danger(self, change: Change) -> str | None:
        """Another data directory: what is stored in the one before would not be seen any more."""
        before, after = _volumes(change.before), _volumes(change.after)
        return f"leaves what is stored in {before} (it would serve {after})" if change.field == "environment" and before and after and before != after else None

    def foreign(self, observed: ServiceState, client: ServiceClient) -> str | None:
        """A unit without Homelake's first line."""
        return None if (observed.unit or "").startswith(HEADER) else "its unit was not written by Homelake"

    def apply(self, todo: Plan, client: ServiceClient) -> None:
        """Write what differs, restart when needed, wait until S3 answers."""
        if self.desired is None:
            client.remove_service(self.name)
            return
        fields = todo.fields()
        wanted = self.want(client)
        assert wanted is not None
        if "unit" in fields:
            client.write_unit(self.name, wanted.unit or "")
        if fields & {"environment", "credentials"}:
            client.write_environment(self.name, self.account, wanted.environment or (), wanted.credentials)
        if "enabled" in fields:
            client.enable(self.name)
        if fields & {"unit", "environment", "credentials", "current", "serving"}:
            client.restart(self.name)
            client.wait_serving(self.name, self.port)


def _volumes(environment: object) -> str:
    """The data directory that a service's settings name."""
    lines = environment if isinstance(environment, tuple) else ()
    return next((line.partition("=")[2].strip('"').rstrip("/") for line in lines if line.startswith("MINIO_VOLUMES=")), "")


def minio_unit(account: str, data_dir: str, program: str, environment_file: str, port: int) -> str:
    """The unit's text: it needs the mount, runs as the account, and may write the data directory only.

    MinIO ends at once when it is told to, and what it has carried out by then gets no answer: S3A repeats a commit that was done, and its job
    fails with NoSuchUpload. So before it is told, no new request reaches it, and those under way have DRAIN seconds. What waits is refused by
    the kernel once MinIO is gone, and its client asks the next one. Packets without a request in them (up to 200 bytes: acknowledgements) pass.
    """
    return f"""{HEADER}
[Unit]
Description=MinIO object storage
Documentation=https://github.com/minio/minio
Wants=network-online.target
After=network-online.target
RequiresMountsFor={data_dir}
ConditionPathIsMountPoint={data_dir}
StartLimitIntervalSec=0

[Service]
Type=notify
User={account}
Group={account}
EnvironmentFile={environment_file}
ExecStart={program} server $MINIO_OPTS $MINIO_VOLUMES
ExecStop=-+/bin/sh -c 'kill -0 "$$MAINPID" && nft "table inet homelake {{ chain drain {{ type filter hook input priority 0; tcp dport {port} meta length > 200 drop; }}; }}" && sleep {DRAIN}'
ExecStopPost=-+/bin/sh -c 'nft delete table inet homelake 2>/dev/null'
Restart=always
RestartSec=2
TimeoutStartSec=180
TimeoutStopSec=60
LimitNOFILE=1048576
TasksMax=infinity
OOMScoreAdjust=-500
WorkingDirectory={data_dir}
ReadWritePaths={data_dir}
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
NoNewPrivileges=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
LockPersonality=yes
SystemCallArchitectures=native
CapabilityBoundingSet=
UMask=0027

[Install]
WantedBy=multi-user.target
"""


def minio_environment(region: str, data_dir: str, port: int, console_port: int, *, durable: bool, speed: str, cycle: Seconds) -> tuple[str, ...]:
    """MinIO's settings without its credentials, as `KEY=value` lines."""
    return (
        f"MINIO_FS_OSYNC={'on' if durable else 'off'}",
        f'MINIO_OPTS="--address :{port} --console-address :{console_port}"',
        f"MINIO_SCANNER_CYCLE={str(cycle).replace(' ', '')}",
        f"MINIO_SCANNER_SPEED={speed}",
        f"MINIO_SITE_REGION={region}",
        f"MINIO_VOLUMES={data_dir}",
        "MINIO_UPDATE=off",
    )
