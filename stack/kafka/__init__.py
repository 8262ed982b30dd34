"""A real single-node Apache Kafka: jars by `jgo` under a committed lock, Java from a wheel."""

from stack.kafka.broker import Kafka

__all__ = ["Kafka"]
