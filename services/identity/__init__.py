"""Identity: who exists, and who may prove it.

Holds agencies, people and their roles, systems, certificates and revocations. Alone may issue
certificates from a CSR and sign access tokens. Never sees business data. Called by the gateway;
every other part reads its state topics.
"""
