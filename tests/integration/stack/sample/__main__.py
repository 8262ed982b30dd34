"""`python -m tests.integration.stack.sample api | relay | write | migrate | bootstrap`."""

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = os.environ.get("DATONG_SAMPLE", "").encode()
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(command: str, *arguments: str) -> int:
    if command == "migrate":
        url = Path(os.environ["DATONG_POSTGRES_URL_FILE"]).read_text().strip()
        return 0 if url.startswith("postgresql://datong_") else 1
    if command == "bootstrap":
        for name in ("platform-operator.code", "security-officer.code"):
            Path(arguments[1], name).write_text("code\n")
        return 0
    if "DATONG_SAMPLE_ENDS" in os.environ:
        sys.stderr.write("cannot go on: the sample was told to end\n")
        return 3
    host, _, port = os.environ["DATONG_HEALTH_LISTEN"].rpartition(":")
    with HTTPServer((host, int(port)), Health) as server:
        server.serve_forever()
    return 0


sys.exit(main(*(sys.argv[1:] or ["gateway"])))
