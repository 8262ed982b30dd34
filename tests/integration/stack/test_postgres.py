"""The server after a bad end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from stack.folders import CHECKOUT
from stack.postgres import Postgres
from stack.settings import inherited_environment
from tests.support.processes import wait_for

# Starts the server in a process of its own, says its pid, and waits to be killed.
OWNER = """
import pathlib, sys, time
from stack.postgres import Postgres
server = Postgres(pathlib.Path(sys.argv[1]), durable=False)
server.run()
print(server.process.pid, flush=True)
time.sleep(600)
"""
# Holds on to the zombie, as a process 1 that collects nothing does. 36: PR_SET_CHILD_SUBREAPER.
KEEPER = f"""
import ctypes, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
owner = subprocess.Popen([sys.executable, "-c", {OWNER!r}, *sys.argv[1:]])
time.sleep(600)
"""


def test_a_server_whose_zombie_nobody_collects_starts_again(session_directory: Path) -> None:
    directory = session_directory / "zombie"
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(directory)],
        stdout=subprocess.PIPE,
        cwd=CHECKOUT,
        env=inherited_environment(),
    )
    assert keeper.stdout is not None
    server = psutil.Process(int(keeper.stdout.readline()))
    owner = server.parent()
    assert owner is not None

    os.kill(owner.pid, signal.SIGKILL)
    wait_for(lambda: server.status() == psutil.STATUS_ZOMBIE)
    again = Postgres(directory, durable=False)
    wait_for(
        lambda: not [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(again.data)]
    )
    again.run()

    again.stop()
    again.remove()
    keeper.kill()
    keeper.wait()
    keeper.stdout.close()
