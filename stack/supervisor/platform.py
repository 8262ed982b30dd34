"""The whole platform as one object, for the command line, the demo and tests."""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from kit.clock import SystemClock, rfc3339
from stack.certificates import Certificates, issue
from stack.folders import CHECKOUT
from stack.health import is_ready
from stack.link import Link
from stack.ports import free_port
from stack.process import Process
from stack.secrets import write_secret
from stack.settings import StackSettings, inherited_environment
from stack.supervisor.housekeeping import pss, set_old_logs_aside
from stack.supervisor.plan import PROGRAMS, Places, ProcessPlan, Programs, plan, settings_of
from stack.supervisor.servers import Servers, create_databases, create_topics
from stack.supervisor.state import reap, sole_supervisor, started_at, write_state
from stack.supervisor.watch import Watched, until_ended

START_SECONDS = 90.0
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.05


class Stack:
    """PostgreSQL, Kafka and all processes of the platform, below one folder.

    `async with Stack(directory) as stack:` starts everything and stops everything. Enter it in
    the main thread: processes die with the thread that started them.

    Args:
        directory: folder of this platform's data, logs and secrets; one supervisor at a time.
        gateways: worker slots of the gateway.
        overrides: extra environment by process name, by part, or `*`.
        settings: servers of one's own and fixed ports; by default read from the environment.
        programs: what to run; tests of the supervisor give small ones.
        behind_link: processes or parts that reach Kafka through `link`, which tests can cut.
        first_codes: run `bootstrap` during the first start of this folder.
    """

    def __init__(
        self,
        directory: Path,
        *,
        gateways: int = 2,
        overrides: Mapping[str, Mapping[str, str]] | None = None,
        settings: StackSettings | None = None,
        programs: Programs = PROGRAMS,
        first_codes: bool = False,
        behind_link: Collection[str] = (),
    ) -> None:
        self.directory = directory.resolve()
        self.settings = settings or StackSettings()
        self.watched: dict[str, Watched] = {}
        self.plans: dict[str, ProcessPlan] = {}
        self.step = "not started"
        self.seconds_to_start: float | None = None
        self._programs = programs
        self._gateways = gateways
        self._overrides = overrides or {}
        self._behind_link = behind_link
        self.link: Link | None = None
        self.on_change: Callable[[], None] = lambda: None  # called when `state` has changed
        self._first_codes = first_codes
        self._addresses: dict[str, str] = {}
        self._places: Places | None = None
        self.administrator_url = ""  # of a role that may create databases; holds a password
        self._held = contextlib.ExitStack()
        self._holding = False
        self._watching: asyncio.Task[None] | None = None

    # What one asks it

    @property
    def places(self) -> Places:
        """Folders, certificates and server addresses; known once it started."""
        if self._places is None:
            raise RuntimeError("the platform was not started")
        return self._places

    @property
    def certificates(self) -> Certificates:
        """The internal CA and the parts' certificates; tests may act as a part with them."""
        return self.places.certificates

    @property
    def gateway_url(self) -> str:
        """Where departments call, https; its certificate is issued by `certificates.ca`."""
        return f"https://{self.address('gateway')}"

    @property
    def kafka(self) -> str:
        """Kafka's bootstrap address."""
        return self.places.kafka

    def address(self, part: str) -> str:
        """Return the `host:port` where that part listens (mTLS; the gateway's is public)."""
        return self._addresses[part]

    def health(self, process: str) -> str:
        """Return the `host:port` of the process's plain health and metrics listener."""
        return self.plans[process].health

    def database_url(self, part: str) -> str:
        """Return the URL of that part's database; it holds a password."""
        return self.places.url_file(part).read_text(encoding="utf-8").strip()

    def log_file(self, process: str) -> Path:
        """Return the file that the process's output goes to."""
        return self.directory / "log" / f"{process}.log"

    def pid(self, process: str) -> int:
        """Return the pid of its latest start; the process may have ended since."""
        return self.watched[process].pid

    def state(self) -> dict[str, Any]:
        """Return what `state.json` says: addresses, pids, conditions."""
        return {
            "name": self.directory.name,
            "step": self.step,
            "seconds_to_start": self.seconds_to_start,
            "supervisor": {"pid": os.getpid(), "started": started_at(os.getpid())},
            "written": rfc3339(SystemClock().now()),
            "gateway_url": f"https://{self._addresses['gateway']}" if self._addresses else None,
            "ca_file": str(self.directory / "tls" / "ca.pem"),
            "kafka": self._places.kafka if self._places else None,
            "addresses": dict(self._addresses),
            "processes": {name: self._describe(each) for name, each in self.watched.items()},
        }

    def memory(self) -> dict[str, int]:
        """Return the proportional set size of each process with its children, in bytes."""
        return {name: pss(each.pid) for name, each in self.watched.items() if each.running} | {
            "supervisor": pss(os.getpid(), children=False)
        }

    # Start and stop

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything; return when all of it is ready.

        Raises:
            AlreadyRunning: another supervisor holds the folder.
            StartFailed: something ended or was not ready in time; see its log.
            JarsMissing: Kafka could not be fetched.
        """
        began = time.monotonic()
        self._held.enter_context(sole_supervisor(self.directory))
        self._holding = True
        reap(self.directory)
        set_old_logs_aside(self.directory / "log")
        self._watching = asyncio.create_task(self._watch())
        certificates = issue(self.directory / "tls", self._programs.parts, SystemClock().now())
        servers = await self._start_servers()
        self._places = Places(self.directory, certificates, servers.bootstrap)
        self.administrator_url = servers.administrator_url
        self._tell("creating databases and topics")
        (self.directory / "secrets").mkdir(mode=0o700, exist_ok=True)
        # Kept: another key would fork the log, or change every pseudonym.
        for key_file in (self._places.log_key_file, self._places.pseudonym_key_file):
            if not key_file.exists():
                write_secret(key_file, secrets.token_hex(32))
        await create_databases(
            servers.administrator_url, self._places, list(self._programs.services)
        )
        await create_topics(servers.bootstrap)
        self._tell("migrating databases")
        await asyncio.gather(
            *(self._run_service(part, "migrate") for part in self._programs.services)
        )
        await self._start_processes()
        if self._first_codes and not self._code_files()[0].exists():
            await self.bootstrap()
        self.seconds_to_start = round(time.monotonic() - began, 1)
        self._tell("running")

    async def stop(self) -> None:
        """Stop everything in order: gateway, services, relays, servers; safe to repeat."""
        self._tell("stopping")
        for rank in sorted({each.stop_rank for each in self.watched.values()}):
            of_rank = [each for each in self.watched.values() if each.stop_rank == rank]
            await asyncio.gather(*(each.end(STOP_SECONDS) for each in of_rank))
            self._tell("stopping")
        if self.link is not None:
            await self.link.close()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        self._tell("stopped")
        self._holding = False
        self._held.close()

    # Single processes

    def kill(self, process: str) -> None:
        """`kill -9`, and see it gone; the supervisor starts it again."""
        self.watched[process].kill()

    def pause(self, process: str) -> None:
        """Stop it where it is (SIGSTOP), until `resume`."""
        self.watched[process].signal(signal.SIGSTOP)

    def resume(self, process: str) -> None:
        """Let a paused process go on (SIGCONT)."""
        self.watched[process].signal(signal.SIGCONT)

    async def stop_process(self, process: str) -> None:
        """End it cleanly; it stays away until `start_process`."""
        await self.watched[process].end(STOP_SECONDS)
        self._tell(self.step)

    async def start_process(self, process: str, seconds: float = START_SECONDS) -> None:
        """Start one that was stopped; return when it is ready."""
        self.watched[process].begin()
        self._tell(self.step)
        await self.wait_ready(process, seconds)

    async def restart_process(self, process: str, **environment: str) -> None:
        """Stop it and start it with these variables in addition to its own."""
        await self.stop_process(process)
        old = self.plans[process]
        self._add(replace(old, environment=dict(old.environment) | environment))
        await self.start_process(process)

    async def add_process(self, name: str, *, like: str, **environment: str) -> None:
        """Start one more process with the settings of another, such as a relay's replacement.

        It has a health address of its own. Returns when started, perhaps not ready.
        """
        health = self._address(f"{name} health")
        old = self.plans[like]
        settings = dict(old.environment) | {"DATONG_HEALTH_LISTEN": health} | environment
        self._add(replace(old, name=name, health=health, environment=settings))
        self.watched[name].begin()
        self._tell(self.step)

    async def wait_ready(self, process: str, seconds: float = START_SECONDS) -> None:
        """Wait until it runs and is ready, also across restarts.

        Raises:
            StartFailed: it was not within `seconds`.
        """
        await self.watched[process].until_ready(seconds)
        self._tell(self.step)

    async def bootstrap(self) -> tuple[Path, Path]:
        """Create the first agency; return the one-time code files of its two people.

        The first is the platform operator's, the second the security officer's. Both are valid
        for 24 hours; their mode is 0600.

        Raises:
            StartFailed: identity refused, for example because a person exists already.
        """
        files = self._code_files()
        files[0].parent.mkdir(mode=0o700, exist_ok=True)
        await self._run_service("identity", "bootstrap", "--directory", str(files[0].parent))
        return files

    # Inside

    def _code_files(self) -> tuple[Path, Path]:
        codes = self.directory / "codes"
        return codes / "platform-operator.code", codes / "security-officer.code"

    async def _start_servers(self) -> Servers:
        """Start PostgreSQL and Kafka, unless there are others; return when they are ready."""
        self._tell("starting PostgreSQL and Kafka")
        servers = await Servers.open(self.directory, self.settings, linked=bool(self._behind_link))
        self.link = servers.link
        self.watched |= servers.watched()
        for watched in self.watched.values():
            watched.begin()
        await asyncio.gather(*map(self._first_ready, self.watched))
        return servers

    async def _start_processes(self) -> None:
        self._tell("starting services and gateway")
        plans = plan(
            self.places,
            self._programs,
            self._address,
            gateways=self._gateways,
            overrides=self._overrides,
            linked=dict.fromkeys(self._behind_link, self.link.address) if self.link else {},
        )
        for each in plans:
            self._add(each)
            self.watched[each.name].begin()
        self._tell(self.step)
        await asyncio.gather(*(self._first_ready(each.name) for each in plans))

    async def _first_ready(self, name: str) -> None:
        await self.watched[name].until_ready(START_SECONDS, starting=True)
        self._tell(self.step)

    def _add(self, each: ProcessPlan) -> None:
        self.plans[each.name] = each

        def start() -> Process:
            process = self._python(each.name, each.arguments, each.environment)
            process.start()
            return process

        self.watched[each.name] = Watched(
            each.name, start, lambda: is_ready(each.health), each.stop_rank
        )

    def _python(
        self, name: str, arguments: tuple[str, ...], environment: Mapping[str, str]
    ) -> Process:
        return Process(
            name=name,
            command=[sys.executable, *arguments],
            log_file=self.log_file(name),
            environment=inherited_environment(PYTHONUNBUFFERED="1", **environment),
            directory=CHECKOUT,
        )

    async def _run_service(self, part: str, *arguments: str) -> None:
        """Run one command of a service to its end.

        Raises:
            StartFailed: it ended with another status than 0.
        """
        environment = dict(settings_of(self.places, part))
        for key in ("*", part):
            environment.update(self._overrides.get(key, {}))
        process = self._python(
            f"{part}-{arguments[0]}",
            ("-m", self._programs.services[part][0], *arguments),
            environment,
        )
        process.start()
        try:
            if not await until_ended(process, START_SECONDS):
                raise process.failure("did not end")
        finally:
            process.kill()
        if process.returncode != 0:
            raise process.failure(f"ended with status {process.returncode}")

    async def _watch(self) -> None:
        """Restart what ended unasked; runs until `stop`."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for watched in list(self.watched.values()):
                if watched.look():
                    self._tell(self.step)
                elif watched.running and not watched.ready and self.step == "running":
                    watched.ready = await watched.is_ready()
                    if watched.ready:
                        self._tell(self.step)

    def _describe(self, each: Watched) -> dict[str, Any]:
        planned = self.plans.get(each.name)
        pid = each.process.pid if each.process is not None else None
        return {
            "pid": pid,
            "started": started_at(pid) if pid is not None else None,
            "condition": each.condition,
            "restarts": each.restarts,
            "listen": planned.listen if planned else None,
            "health": planned.health if planned else None,
            "log": str(self.log_file(each.name)),
        }

    def _tell(self, step: str) -> None:
        self.step = step
        if self._holding:
            write_state(self.directory, self.state())
        self.on_change()

    def _address(self, name: str) -> str:
        if name not in self._addresses:
            port = self.settings.fixed_port(name) or free_port()
            self._addresses[name] = f"127.0.0.1:{port}"
        return self._addresses[name]
