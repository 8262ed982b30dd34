"""Run one worker of a gateway: `python -m gateway`."""

import resource
import sys

import uvloop
from pydantic import ValidationError

from gateway.app import serve
from gateway.evidence import EvidenceUnavailable, SlotHeld
from gateway.settings import GatewaySettings
from kit import logging


def main() -> int:
    """Run until stopped; return the exit status."""
    try:
        settings = GatewaySettings()
    except ValidationError as error:
        sys.stderr.write(f"gateway: settings are not valid: {error}\n")
        return 2
    logging.configure("gateway", settings.log_level)
    log = logging.get_logger().bind(instance=settings.instance)
    # The usual soft limit of 1024 is less than the connections that settings allow, and a spool
    # that can open no further segment ends the process.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        uvloop.run(serve(settings))
    except (EvidenceUnavailable, SlotHeld, OSError) as error:
        log.critical("worker ended", error=repr(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
