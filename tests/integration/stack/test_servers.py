"""The servers that every integration test builds on."""

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.support.kafka import create_topics


async def test_a_fresh_database_is_empty_and_of_postgresql_18(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)

    version = await connection.fetchval("SHOW server_version_num")
    tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()

    assert int(version) // 10_000 == 18
    assert tables == 0


async def test_what_is_sent_to_kafka_is_read_back(kafka_server: str, topic_prefix: str) -> None:
    topic = topic_prefix + "greetings"
    await create_topics(kafka_server, [topic])
    async with AIOKafkaProducer(bootstrap_servers=kafka_server) as producer:
        await producer.send_and_wait(topic, "您好".encode())

    async with AIOKafkaConsumer(
        topic, bootstrap_servers=kafka_server, auto_offset_reset="earliest"
    ) as consumer:
        message = await consumer.getone()

    assert message.value == "您好".encode()
