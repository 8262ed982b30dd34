"""Offline proof of evidence: reads packages, needs no network and no service.

Written from the public standards (RFC 6962, RFC 8785, C2SP signed-note, tlog-checkpoint and
tlog-tiles) and from `contracts/evidence.md` and `contracts/package.md`. It shares no code with the
writer of the log, so that one mistake cannot hide in both.
"""
