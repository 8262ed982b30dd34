"""One function per operation of the gateway's contract, named by its operationId.

Each says what to send and how to read the answer, and does neither: `Client` and `AsyncClient` do.
"""
