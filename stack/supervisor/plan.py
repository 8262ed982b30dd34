"""Which processes there are, and the environment of each; plain values, nothing is started."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stack.certificates import TRUST_DOMAIN, Certificates


@dataclass(frozen=True)
class Programs:
    """What is run: per service its package and the roles that its `__main__` takes."""

    services: Mapping[str, tuple[str, tuple[str, ...]]]
    gateway: str

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts, each with an identity of its own."""
        return (*self.services, "gateway")


PROGRAMS = Programs(
    services={
        "identity": ("services.identity", ("api", "relay")),
        "catalog": ("services.catalog", ("api", "relay")),
        "sharing": ("services.exchange.sharing", ("api", "relay", "consume")),
        "transfer": ("services.exchange.transfer", ("api", "relay", "work")),
        "audit": ("services.audit", ("api", "write")),
    },
    gateway="gateway",
)
GATEWAY = "gateway-0"
ISSUER = "https://identity.datong.example"
AUDIENCE = "https://datong.example"
LOG_ORIGIN = "datong.example/log"


@dataclass(frozen=True)
class ProcessPlan:
    """One process of the platform.

    Attributes:
        name: `<part>-<role>`, or `gateway-slot-<n>`; also the name of its log.
        arguments: what follows `python`.
        environment: its settings (`DATONG_...`).
        listen: `host:port` of its mTLS listener, None when it has none.
        health: `host:port` that answers `/health/ready`.
        stop_rank: processes with a lower rank are stopped first.
    """

    name: str
    part: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    listen: str | None
    health: str
    stop_rank: int


@dataclass(frozen=True)
class Places:
    """What the processes share: folders, certificates, addresses of the servers."""

    directory: Path
    certificates: Certificates
    kafka: str

    def url_file(self, part: str) -> Path:
        """File (0600) with the URL of that part's database."""
        return self.directory / "secrets" / f"{part}.url"

    @property
    def log_key_file(self) -> Path:
        """File (0600) with the Ed25519 seed that signs the evidence log, 64 hex digits."""
        return self.directory / "secrets" / "log.key"

    @property
    def pseudonym_key_file(self) -> Path:
        """File (0600) with the master key of transfer's pseudonyms, 64 hex digits."""
        return self.directory / "secrets" / "pseudonym.key"


def plan(
    places: Places,
    programs: Programs,
    address: Callable[[str], str],
    *,
    gateways: int,
    overrides: Mapping[str, Mapping[str, str]],
    linked: Mapping[str, str] | None = None,
) -> list[ProcessPlan]:
    """Return all processes.

    Args:
        address: gives a `host:port` for a name; the same name gets the same address.
        gateways: how many worker slots the gateway has, at least 1.
        overrides: environment by process name, by part, or `*` for all; the narrower one wins.
        linked: another address of Kafka, by process name or part.
    """
    links = {name: {"DATONG_KAFKA": kafka} for name, kafka in (linked or {}).items()}

    processes = [
        _service(places, programs, part, role, address)
        for part, (_, roles) in programs.services.items()
        for role in roles
    ]
    processes += [_slot(places, programs, slot, address) for slot in range(gateways)]
    return [_overridden(_overridden(each, links), overrides) for each in processes]


def settings_of(places: Places, part: str) -> dict[str, str]:
    """Return the environment that every process of `part` has."""
    pair = places.certificates.parts[part]
    common = {
        "DATONG_ENVIRONMENT": "development",
        "DATONG_LOG_LEVEL": "info",
        "DATONG_TRUST_DOMAIN": TRUST_DOMAIN,
        "DATONG_TLS_CERTIFICATE_FILE": str(pair.certificate),
        "DATONG_TLS_KEY_FILE": str(pair.key),
        "DATONG_TLS_CA_FILE": str(places.certificates.ca),
        "DATONG_KAFKA": places.kafka,
        "DATONG_ISSUER": ISSUER,
        "DATONG_AUDIENCE": AUDIENCE,
    }
    return common | _own_settings(places, part)


def _own_settings(places: Places, part: str) -> dict[str, str]:
    directory = places.directory
    if part == "gateway":
        return {
            "DATONG_GATEWAY": GATEWAY,
            "DATONG_SPOOL_DIRECTORY": str(directory / "spool"),
            "DATONG_SERVER_CERTIFICATE_FILE": str(places.certificates.server.certificate),
            "DATONG_SERVER_KEY_FILE": str(places.certificates.server.key),
            "DATONG_ALLOW_PRIVATE_OWNERS": "true",
        }
    own = {"DATONG_POSTGRES_URL_FILE": str(places.url_file(part))}
    if part == "identity":
        own["DATONG_AUTHORITY_DIRECTORY"] = str(directory / "authority")
    if part == "catalog":
        own["DATONG_ALLOW_PRIVATE_OWNERS"] = "true"
    if part == "transfer":
        own["DATONG_OBJECT_DIRECTORY"] = str(directory / "transfer-objects")
        own["DATONG_PSEUDONYM_KEY_FILE"] = str(places.pseudonym_key_file)
        # Arrow's own pool keeps what one batch needed for good; on one machine others want it.
        own["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    if part == "audit":
        own |= {
            "DATONG_OBJECT_DIRECTORY": str(directory / "objects"),
            "DATONG_LOG_ORIGIN": LOG_ORIGIN,
        }
    return own


def _service(
    places: Places, programs: Programs, part: str, role: str, address: Callable[[str], str]
) -> ProcessPlan:
    name = f"{part}-{role}"
    health = address(f"{name} health")
    listen = address(part) if role == "api" else None
    environment = settings_of(places, part) | {"DATONG_HEALTH_LISTEN": health}
    if listen is not None:
        environment["DATONG_LISTEN"] = listen
    if name == "catalog-api":  # an index belongs to one process
        environment["DATONG_INDEX_DIRECTORY"] = str(places.directory / "catalog-index")
    if name == "audit-write":  # the only process that may sign the log
        environment["DATONG_LOG_KEY_FILE"] = str(places.log_key_file)
        environment["DATONG_LAST_CHECKPOINT_FILE"] = str(places.directory / "last-checkpoint")
    return ProcessPlan(
        name=name,
        part=part,
        arguments=("-m", programs.services[part][0], role),
        environment=environment,
        listen=listen,
        health=health,
        stop_rank=1 if role == "api" else 2,
    )


def _slot(
    places: Places, programs: Programs, slot: int, address: Callable[[str], str]
) -> ProcessPlan:
    name = f"gateway-slot-{slot}"
    health = address(f"{name} health")
    listen = address("gateway")
    environment = settings_of(places, "gateway") | {
        "DATONG_SLOT": str(slot),
        "DATONG_LISTEN": listen,
        "DATONG_HEALTH_LISTEN": health,
    }
    for part in programs.services:
        environment[f"DATONG_{part.upper()}_URL"] = f"https://{address(part)}"
    return ProcessPlan(
        name=name,
        part="gateway",
        arguments=("-m", programs.gateway),
        environment=environment,
        listen=listen,
        health=health,
        stop_rank=0,
    )


def _overridden(process: ProcessPlan, overrides: Mapping[str, Mapping[str, str]]) -> ProcessPlan:
    environment = dict(process.environment)
    for name in ("*", process.part, process.name):
        environment.update(overrides.get(name, {}))
    return replace(process, environment=environment)
