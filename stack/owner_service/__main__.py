"""Run the sample service: `python -m stack.owner_service --directory D --gateway-ca FILE`.

Prints one line with the `service` of its catalogue entry when it listens, then one line a call.
"""

import argparse
import json
import socket
import ssl
import sys
from pathlib import Path

import uvicorn

from kit.clock import SystemClock
from stack.certificates import issue_own
from stack.owner_service.app import OPERATIONS, build_app
from stack.owner_service.register import SIZE, Register

SECONDS = 5
"""Until an answer must begin, as its entry says."""


def main(arguments: list[str]) -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m stack.owner_service", description="A department's own service, as a sample."
    )
    parser.add_argument("--directory", type=Path, required=True, help="where its CA is kept")
    parser.add_argument(
        "--gateway-ca", type=Path, required=True, help="PEM CA of the gateway's certificate"
    )
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; any free one by default")
    parser.add_argument("--size", type=int, default=SIZE, help="enterprises in the register")
    options = parser.parse_args(arguments)
    ca, pair = issue_own(options.directory, "market-regulator", SystemClock().now())
    config = uvicorn.Config(
        build_app(Register(options.size)),
        ssl_certfile=pair.certificate,
        ssl_keyfile=pair.key,
        ssl_ca_certs=str(options.gateway_ca),
        ssl_cert_reqs=ssl.CERT_REQUIRED,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", options.port))
    sock.listen()
    service = {
        "address": f"https://localhost:{sock.getsockname()[1]}",
        "ca": ca.read_text("ascii"),
        "operations": OPERATIONS,
        "seconds": SECONDS,
    }
    sys.stdout.write(json.dumps({"service": service}, ensure_ascii=False) + "\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[sock])


if __name__ == "__main__":
    main(sys.argv[1:])
