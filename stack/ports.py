"""Free TCP ports on the loopback address, below the range that outgoing connections use."""

import random
import socket

FIRST, LAST = 20_000, 31_999
_given: set[int] = set()


def free_port() -> int:
    """Return a port that nobody listens on now, and that this process has not been given yet.

    Raises:
        OSError: no port was free in 1,000 tries.
    """
    for _ in range(1_000):
        port = random.randint(FIRST, LAST)  # noqa: S311 - not a secret
        if port not in _given and _can_bind(port):
            _given.add(port)
            return port
    raise OSError("no free port between 20000 and 31999 on 127.0.0.1")


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
