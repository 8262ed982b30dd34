"""What a worker counts can be read as Prometheus text."""

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from gateway.admin import DataPathNumbers, GatewayCollector
from gateway.evidence import Evidence, Shipper
from gateway.table import PermissionTable


def test_everything_that_is_counted_is_shown(tmp_path: Path) -> None:
    options = {"bootstrap_servers": ["127.0.0.1:1"]}
    evidence = Evidence(
        instance="gateway-0/0",
        directory=tmp_path,
        slot=0,
        limit=1 << 20,
        on_fatal=lambda _error: None,
    )
    numbers = DataPathNumbers(
        answers=lambda: {("query", 200): 3, ("", 400): 1},
        refusals=lambda: {"call-malformed": 1},
        seconds=lambda: {"query": 0.5},
        handshakes_failed=lambda: {"unknown-authority": 2},
        totals=lambda: {"withheld": 4},
        gauges=lambda: {"in_hand": 5},
    )
    registry = CollectorRegistry()
    registry.register(
        GatewayCollector(
            numbers,
            PermissionTable(options, stale_after=60),
            evidence,
            Shipper(evidence, options),
            {},
            [],
        )
    )
    text = generate_latest(registry).decode()
    for line in (
        'datong_gateway_answers_total{route="query",status="200"} 3.0',
        'datong_gateway_answers_total{route="none",status="400"} 1.0',
        'datong_gateway_refusals_total{reason="call-malformed"} 1.0',
        'datong_gateway_handshakes_failed_total{cause="unknown-authority"} 2.0',
        "datong_gateway_withheld_total 4.0",
        "datong_gateway_in_hand 5.0",
        "datong_gateway_permissions_fresh 0.0",
        "datong_gateway_spool_bytes 0.0",
    ):
        assert line in text.splitlines()
