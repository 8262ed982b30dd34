"""The commit protocol: how a batch becomes part of the log, or the process ends.

1. Bundles and tiles are written durably under staged names that hold their hash.
2. The signer, who checks that the tree extends the last one it signed, signs the checkpoint.
3. `commits/<n>` is created if absent. Failing that, another writer has gone on: we end.
4. Staged objects get their tlog-tiles names; the checkpoint is written outside.
5. Only then is anything told to others.

A writer that was paused anywhere and comes back fails at 3, or repeats at 4 what is true anyway.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import orjson

from kit.clock import Clock, parse_rfc3339, rfc3339
from services.audit.actions.intake import Batch
from services.audit.domain.commits import (
    FULL_EVERY,
    Commit,
    commit_name,
    staged_name,
    staged_number,
)
from services.audit.domain.epochs import Epoch, Ledger
from services.audit.domain.notes import Checkpoint, open_checkpoint
from services.audit.domain.tiles import (
    HEIGHT,
    WIDTH,
    Edge,
    Tile,
    encode_bundle,
    tile_path,
    width_at,
)
from services.audit.domain.tree import (
    EMPTY_ROOT,
    Nodes,
    consistency_proof,
    leaf_hash,
    verify_consistency,
)
from services.audit.store.follower import KEY_NAME
from services.audit.store.keys import LogKey, is_signature
from services.audit.store.log import LogView, encode_commit, newest_number, read_commit, read_epochs
from services.audit.store.objects import ObjectStore
from services.audit.store.outside import OutsideCheckpoint

KEEP_STAGED: Final = 8
"""Commits whose staged objects are kept after they got their names, for readers that lag."""


class Superseded(RuntimeError):
    """Another writer has committed: this one must end at once and tell nobody anything."""


class NotAnExtension(RuntimeError):
    """The tree does not extend the checkpoint kept outside: the signer refuses."""


class Signer:
    """Signs checkpoints, each an extension of the last.

    Args:
        key: the log's key.
        last: the checkpoint kept outside, verified with that key.
    """

    def __init__(self, key: LogKey, last: Checkpoint) -> None:
        self._key = key
        self.last = last

    def require_extension(self, nodes: Nodes, size: int, root: bytes) -> None:
        """Check that a tree extends the last signed one.

        Raises:
            NotAnExtension: it does not.
        """
        old = self.last
        if size < old.size:
            raise NotAnExtension(f"size {size} is behind the checkpoint of size {old.size}")
        if old.size == 0:
            return
        proof = consistency_proof(nodes, old.size, size)
        if not verify_consistency(old.size, size, old.root, root, proof):
            raise NotAnExtension(f"the tree of size {size} contradicts that of size {old.size}")

    def sign(self, nodes: Nodes, size: int, root: bytes) -> bytes:
        """Return the signed checkpoint of a tree that extends the last one.

        Raises:
            NotAnExtension: it does not.
        """
        self.require_extension(nodes, size, root)
        checkpoint = Checkpoint(self._key.origin, size, root)
        note = self._key.sign(checkpoint)
        self.last = checkpoint
        return note


@dataclass(slots=True)
class Committer:
    """The one who commits. Blocking; used from one thread at a time.

    Args:
        before_commit: called with the number before step 3; tests stop a process there.
    """

    store: ObjectStore
    outside: OutsideCheckpoint
    key: LogKey
    clock: Clock
    before_commit: Callable[[int], None] | None = None
    newest: Commit | None = None
    _signer: Signer | None = None
    _edge: Edge | None = None
    _tail: list[bytes] | None = None
    _partial: dict[tuple[int | None, int], str] = field(default_factory=dict)

    def open(self) -> Commit:
        """Find the newest commit, or make commit 0, and finish what it left undone.

        Raises:
            NotAnExtension: the store is behind, or contradicts, the checkpoint kept outside.
            NoteRefused: the outside checkpoint is not signed by this key for this log.
            Superseded: another writer is at work at this moment.
        """
        number = newest_number(self.store)
        last = self._outside_checkpoint(number)
        if number < 0:
            self._create_first(last)
            number = 0
        newest = read_commit(self.store, number)
        if newest is None:
            raise Superseded(f"commit {number} cannot be read")
        view = LogView(self.store, newest)
        signer = Signer(self.key, last)
        signer.require_extension(view.nodes, newest.size, newest.root)
        signer.last = open_checkpoint(
            newest.checkpoint.encode(), self.key.verifier, self.key.origin, is_signature
        )
        self._publish(newest)
        self._publish_key()
        edge = view.edge()
        if edge.root() != newest.root:
            raise NotAnExtension(f"tiles of size {newest.size} do not give the committed root")
        self.newest, self._signer, self._edge = newest, signer, edge
        self._tail = view.edge_records()
        self._partial = _partial_paths(newest.size)
        return newest

    def ledger(self) -> Ledger:
        """Return the ledger as of the newest commit."""
        return Ledger(read_epochs(self.store, self._newest()).values())

    def incarnation(self) -> int:
        """Return milliseconds since 1970 of commit 0: what tells this log from one before it."""
        first = read_commit(self.store, 0)
        if first is None:
            raise Superseded("commit 0 cannot be read")
        return int(parse_rfc3339(first.at).timestamp() * 1000)

    def commit(self, batch: Batch) -> Commit:
        """Commit a batch; on return it is part of the log and readers can find it.

        Raises:
            Superseded: another writer has committed this number.
            NotAnExtension: the signer refuses.
        """
        before = self._newest()
        edge, signer = self._edge, self._signer
        if edge is None or signer is None or self._tail is None:
            raise RuntimeError("the committer is not open")
        number = before.number + 1
        files = dict(edge.extend(batch.leaves))
        files.update(self._bundles(before.size, batch.records))
        names = {
            tile.path: staged_name(number, sha256(data).hexdigest()) for tile, data in files.items()
        }
        staged = {names[tile.path]: data for tile, data in files.items()}
        salts = _encode_salts(batch.salts)
        salts_name = f"salts/{number:012d}-{sha256(salts).hexdigest()}" if salts else None
        if salts_name is not None:
            staged[salts_name] = salts
        self.store.create_all(staged)
        root = edge.root()
        commit = Commit(
            number=number,
            size=edge.size,
            root=root,
            checkpoint=signer.sign(edge.node, edge.size, root).decode(),
            at=rfc3339(self.clock.now()),
            positions=batch.positions,
            epochs=batch.epochs,
            full=batch.full,
            files=names,
            salts=salts_name,
        )
        if self.before_commit is not None:
            self.before_commit(number)
        if not self.store.create_if_absent(commit_name(number), encode_commit(commit)):
            raise Superseded(f"commit {number} exists: another writer has gone on")
        self._publish(commit)
        self._tidy(files, number)
        self.newest = commit
        return commit

    def next_is_full(self) -> bool:
        """Tell whether the next commit has to hold all epochs."""
        return (self._newest().number + 1) % FULL_EVERY == 0

    def load_digests(self, epoch: Epoch, sequence: int) -> Iterator[tuple[int, bytes]]:
        """Yield (number, leaf hash) of an epoch's committed records down to `sequence`.

        The newest come first; the bundle that holds `sequence` is read to its start.
        """
        view = LogView(self.store, self._newest())
        last = min(epoch.last_leaf, view.size - 1)
        found = False
        for index in range(last // WIDTH, epoch.first_leaf // WIDTH - 1, -1):
            for record in reversed(view.bundle(index)):
                fields = orjson.loads(record)
                if (fields["instance"], fields["epoch"]) == (epoch.instance, epoch.epoch):
                    leaf, number = leaf_hash(record), fields["sequence"]
                    if (number, leaf[:16].hex()) not in epoch.conflicts:
                        found = found or number == sequence
                        yield number, leaf
            if found:
                return

    def load_record(self, leaf: int) -> bytes:
        """Return the bytes of a committed record."""
        return LogView(self.store, self._newest()).record(leaf)

    def _newest(self) -> Commit:
        if self.newest is None:
            raise RuntimeError("the committer is not open")
        return self.newest

    def _publish_key(self) -> None:
        """Put the verification key where readers find it.

        Raises:
            NotAnExtension: another key is there; a log keeps its key.
        """
        line = self.key.verifier.vkey.encode()
        if not self.store.create_if_absent(KEY_NAME, line) and self.store.read(KEY_NAME) != line:
            raise NotAnExtension("the log was begun with another key")

    def _outside_checkpoint(self, number: int) -> Checkpoint:
        """Return the checkpoint kept outside; of an empty log, when there is no log at all."""
        note = self.outside.read()
        if note is not None:
            return open_checkpoint(note, self.key.verifier, self.key.origin, is_signature)
        if number >= 0:
            raise NotAnExtension(
                f"the store has commit {number}, but no checkpoint is kept outside; put the last"
                " one you trust there"
            )
        return Checkpoint(self.key.origin, 0, EMPTY_ROOT)

    def _create_first(self, last: Checkpoint) -> None:
        """Create commit 0 of the empty log; its checkpoint is outside before that."""
        if last.size:
            raise NotAnExtension(f"the store is empty; the log had {last.size} records")
        note = self.key.sign(last)
        self.outside.write(note)
        first = Commit(0, 0, EMPTY_ROOT, note.decode(), rfc3339(self.clock.now()), {})
        self.store.create_if_absent(commit_name(0), encode_commit(first))

    def _bundles(self, size: int, records: list[bytes]) -> dict[Tile, bytes]:
        """Return the bundles that change when `records` follow the log of `size`."""
        if not records:
            return {}
        records = [*(self._tail or []), *records]
        index = size // WIDTH
        bundles: dict[Tile, bytes] = {}
        for at in range(0, len(records), WIDTH):
            part = records[at : at + WIDTH]
            bundles[Tile(None, index + at // WIDTH, len(part))] = encode_bundle(part)
        self._tail = records[len(records) - len(records) % WIDTH :]
        return bundles

    def _publish(self, commit: Commit) -> None:
        """Give staged objects their names and keep the checkpoint outside.

        Raises:
            Superseded: a later commit exists; its writer has done this already.
        """
        self.store.copy_all(commit.files)
        if read_commit(self.store, commit.number + 1) is not None:
            raise Superseded(f"commit {commit.number + 1} exists: another writer has gone on")
        self.outside.write(commit.checkpoint.encode())

    def _tidy(self, files: Mapping[Tile, bytes], number: int) -> None:
        """Remove names that wider tiles replace and staged names that are decided for long."""
        for tile in files:
            place = (tile.level, tile.index)
            if tile.width == WIDTH:
                self._partial.pop(place, None)
                for name in list(self.store.list(f"{tile_path(tile.level, tile.index)}.p")):
                    self.store.remove(name)
            else:
                replaced = self._partial.get(place)
                self._partial[place] = tile.path
                if replaced is not None:
                    self.store.remove(replaced)
        if number % KEEP_STAGED == 0:
            for name in list(self.store.list("staged")):
                if staged_number(name) <= number - KEEP_STAGED:
                    self.store.remove(name)


def _partial_paths(size: int) -> dict[tuple[int | None, int], str]:
    """Return the paths of the partial tiles and bundle of a log of `size`, by their place."""
    levels: list[int | None] = [None, *range(8)]
    found: dict[tuple[int | None, int], str] = {}
    for level in levels:
        index = (size >> (HEIGHT * (level or 0))) // WIDTH
        width = width_at(level, index, size)
        if width:
            found[level, index] = Tile(level, index, width).path
    return found


def _encode_salts(salts: list[tuple[str, bytes]]) -> bytes:
    """Return pending salts as a JSON object from record id to hex."""
    return orjson.dumps({record: salt.hex() for record, salt in salts}) if salts else b""
