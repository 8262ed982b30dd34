"""The worker's numbers for Prometheus, read when they are asked for; the data path only adds."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from gateway.evidence import Evidence, Shipper
from gateway.table import PermissionTable
from gateway.upstream import OwnerPool, Pool


@dataclass(frozen=True, slots=True)
class DataPathNumbers:
    """Numbers of the data path, by name of the metric; each read is current."""

    answers: Callable[[], Mapping[tuple[str, int], int]]
    refusals: Callable[[], Mapping[str, int]]
    seconds: Callable[[], Mapping[str, float]]
    handshakes_failed: Callable[[], Mapping[str, int]]
    totals: Callable[[], Mapping[str, int]]
    gauges: Callable[[], Mapping[str, float]]


class GatewayCollector(Collector):
    """Collects everything that a worker counts."""

    def __init__(
        self,
        numbers: DataPathNumbers,
        table: PermissionTable,
        evidence: Evidence,
        shipper: Shipper,
        pools: Mapping[str, Pool],
        owners: Iterable[OwnerPool],
    ) -> None:
        self._numbers = numbers
        self._table = table
        self._evidence = evidence
        self._shipper = shipper
        self._pools = pools
        self._owners = owners

    @override
    def collect(self) -> Iterable[Metric]:
        yield from self._data_path()
        yield from self._upstream()
        yield from self._services()
        yield from self._permissions()
        yield from self._records()

    def _data_path(self) -> Iterable[Metric]:
        numbers = self._numbers
        answers = CounterMetricFamily(
            "datong_gateway_answers", "Calls answered", labels=["route", "status"]
        )
        for (route, status), count in list(numbers.answers().items()):
            answers.add_metric([route or "none", str(status)], count)
        yield answers
        yield _labelled(
            "datong_gateway_refusals", "Problem documents sent", "reason", numbers.refusals()
        )
        yield _labelled(
            "datong_gateway_call_seconds", "Seconds that calls took", "route", numbers.seconds()
        )
        yield _labelled(
            "datong_gateway_handshakes_failed",
            "TLS handshakes that failed",
            "cause",
            numbers.handshakes_failed(),
        )
        for name, count in numbers.totals().items():
            yield CounterMetricFamily(f"datong_gateway_{name}", name.replace("_", " "), value=count)
        for name, value in numbers.gauges().items():
            yield GaugeMetricFamily(f"datong_gateway_{name}", name.replace("_", " "), value=value)

    def _upstream(self) -> Iterable[Metric]:
        open_now = GaugeMetricFamily(
            "datong_gateway_upstream_connections", "Open connections to a part", labels=["part"]
        )
        failed = CounterMetricFamily(
            "datong_gateway_upstream_failures", "Connections not opened", labels=["part"]
        )
        for part, pool in self._pools.items():
            open_now.add_metric([part], pool.connections)
            failed.add_metric([part], pool.refused)
        yield open_now
        yield failed

    def _services(self) -> Iterable[Metric]:
        open_now = GaugeMetricFamily(
            "datong_gateway_owner_connections",
            "Open connections to services of an owner",
            labels=["owner"],
        )
        broken = GaugeMetricFamily(
            "datong_gateway_owner_circuits_open",
            "Operations of services of an owner that are left alone since they failed",
            labels=["owner"],
        )
        failed = CounterMetricFamily(
            "datong_gateway_owner_failures",
            "Connections to services of an owner that were not opened",
            labels=["owner"],
        )
        pools = sorted(self._owners, key=lambda pool: pool.owner)
        for owner, found in groupby(pools, key=lambda pool: pool.owner):
            services = list(found)
            open_now.add_metric([owner], sum(pool.connections for pool in services))
            broken.add_metric([owner], sum(pool.circuits_open for pool in services))
            failed.add_metric([owner], sum(pool.refused for pool in services))
        yield open_now
        yield broken
        yield failed

    def _permissions(self) -> Iterable[Metric]:
        fresh = self._table.is_fresh(time.monotonic())
        yield GaugeMetricFamily(
            "datong_gateway_permissions_fresh", "1 when data calls can be decided", value=fresh
        )
        yield GaugeMetricFamily(
            "datong_gateway_permissions_unreadable",
            "Subjects whose last state could not be read; an alarm when above 0",
            value=len(self._table.unreadable),
        )

    def _records(self) -> Iterable[Metric]:
        evidence = self._evidence
        yield CounterMetricFamily(
            "datong_gateway_records", "Records made durable", value=evidence.durable_records
        )
        yield CounterMetricFamily(
            "datong_gateway_commits", "Commits of the spool", value=evidence.commits
        )
        yield CounterMetricFamily(
            "datong_gateway_records_sent",
            "Records sent to the bus",
            value=self._shipper.sent_records,
        )
        yield GaugeMetricFamily(
            "datong_gateway_spool_bytes", "Bytes of the spool", value=evidence.used_bytes
        )
        yield GaugeMetricFamily(
            "datong_gateway_sync_seconds",
            "Median of recent fdatasync calls",
            value=evidence.sync_median() or 0.0,
        )


def _labelled(name: str, text: str, label: str, counts: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in list(counts.items()):
        family.add_metric([value or "none"], count)
    return family
