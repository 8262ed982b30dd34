"""A real single-node Apache Kafka: jars by `jgo` under a committed lock, Java from a wheel."""

from stack.kafka.broker import Kafka
from stack.kafka.jars import JarsMissing, prepare_jars

__all__ = ["JarsMissing", "Kafka", "prepare_jars"]
