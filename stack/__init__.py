"""The whole platform on one machine: PostgreSQL, Kafka, all processes, and the demo.

Nothing here is imported by a service; nothing here is mocked.
"""
