"""The newest commit, for readers: found again at each question, at the price of one look."""

import threading

from services.audit.domain.commits import FULL_EVERY, Commit
from services.audit.domain.epochs import Epoch, Key
from services.audit.domain.refusals import LogNotOpen
from services.audit.store.log import LogView, newest_number, read_commit, read_epochs
from services.audit.store.objects import ObjectMissing, ObjectStore

KEY_NAME = "key"
"""Object that holds the log's verification key, written by the log writer."""


class LogFollower:
    """Reads a log that another process writes. Blocking; safe to use from several threads."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._newest: Commit | None = None
        self._epochs: dict[Key, Epoch] = {}
        self._epochs_at = -1

    def view(self) -> LogView:
        """Return the log as of its newest commit.

        Raises:
            LogNotOpen: there is none yet.
        """
        with self._lock:
            return LogView(self._store, self._refresh())

    def epochs(self) -> tuple[LogView, dict[Key, Epoch]]:
        """Return the log as of its newest commit, and all its epochs.

        Raises:
            LogNotOpen: there is none yet.
        """
        with self._lock:
            newest = self._refresh()
            if newest.number - self._epochs_at > FULL_EVERY or self._epochs_at < 0:
                self._epochs = read_epochs(self._store, newest)
            else:
                for number in range(self._epochs_at + 1, newest.number + 1):
                    commit = read_commit(self._store, number)
                    if commit is not None:
                        self._epochs.update({(e.instance, e.epoch): e for e in commit.epochs})
            self._epochs_at = newest.number
            return LogView(self._store, newest), dict(self._epochs)

    def verification_key(self) -> str:
        """Return the log's verification key as a vkey line.

        Raises:
            LogNotOpen: the log writer has not written it yet.
        """
        try:
            return self._store.read(KEY_NAME).decode("utf-8")
        except ObjectMissing:
            raise LogNotOpen("The log has no key yet; the log writer has not started.") from None

    def _refresh(self) -> Commit:
        known = -1 if self._newest is None else self._newest.number
        number = newest_number(self._store, known)
        if number != known:
            self._newest = read_commit(self._store, number)
        if self._newest is None:
            raise LogNotOpen("The log is empty of commits; the log writer has not started.")
        return self._newest
