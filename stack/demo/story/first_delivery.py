"""A table arrives complete, stays in step, and both sides can prove it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stack.demo.alerts import wait_for_alert
from stack.demo.commands import StoryBroken, publish_rows, run_as
from stack.demo.departments import DepartmentDatabase
from stack.demo.divisions import read_table, write_csv
from stack.demo.entries import (
    DIVISIONS,
    EDUCATION_NEED,
    HEALTH_NEED,
    ITEMS,
    Need,
    request_divisions,
)
from stack.demo.merger import Change, merge_districts, rename_village
from stack.demo.report import FIGURES, Comparison
from stack.demo.story.stage import Stage

TABLE: Final = "divisions"
TAMPERED: Final = "110101001001"
"""A village in Beijing that no batch touches."""
RENAMED: Final = "370202001001"
DIFFERS: Final = 6
"""Exit code of `datong receive` when the receipt was answered with a difference."""
DELIVERY_SECONDS: Final = "60"
CHANGES: Final = ("added", "updated", "deleted")


class FirstDelivery:
    """The chapter of a first delivery."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        folder = stage.directory
        self._health = DepartmentDatabase("health_commission", folder / "health-commission.url")
        self._education = DepartmentDatabase("education", folder / "education.url")

    async def receive(self) -> dict[str, Any]:
        """Have the health commission take the whole table into a database of its own."""
        stage = self._stage
        await self._health.create(stage.stack.administrator_url)
        delivery = await self._take(HEALTH_NEED, self._health)
        applied = await self._health.count(TABLE)
        compared = await self._compare(
            "卫生健康委员会 · whole table; ten rows in quarantine", delivery, declared=("rows",)
        )
        stage.report.rows |= {"delivered": compared.platform["rows"], "applied": applied}
        if not stage.report.rows["published"] == compared.platform["rows"] == applied:
            raise StoryBroken(f"published, delivered, applied: {stage.report.rows}")
        return {"delivered": compared.platform["rows"], "applied": applied} | _told(compared)

    async def change(self) -> dict[str, Any]:
        """Publish the merger of two districts; the health commission takes what changed."""
        change = merge_districts(read_table())
        await self._publish(change, "merger.csv")
        delivery = await self._take(HEALTH_NEED, self._health)
        compared = await self._compare(
            "卫生健康委员会 · merger of two districts", delivery, declared=CHANGES
        )
        expected = (change.added, change.updated, change.deleted)
        if tuple(compared.consumer[name] for name in CHANGES) != expected:
            raise StoryBroken(f"expected {expected}, the consumer counted {compared.consumer}")
        self._stage.report.reconciled = True
        return {"rows of the batch": change.table.num_rows} | _told(compared)

    async def be_alerted(self) -> dict[str, Any]:
        """Change one row behind the consumer's back; the next receipt must tell."""
        before = await self._health.change_name(TABLE, TAMPERED, "被改的社区")
        await self._publish(rename_village(read_table(), RENAMED, "新名社区"), "renamed.csv")
        delivery = await self._take(HEALTH_NEED, self._health, code=DIFFERS)
        compared = await self._compare(
            "卫生健康委员会 · after tampering", delivery, declared=CHANGES, state="differs"
        )
        alert = await wait_for_alert(self._stage.stack.kafka, delivery["delivery"])
        for name, side in (("platform", compared.platform), ("consumer", compared.consumer)):
            if alert["batch"] != compared.batch or alert[name] != side:
                raise StoryBroken(f"the alert tells other figures than the report: {alert}")
        self._stage.report.tamper_detected = True
        return {
            "changed behind its back": f"{TAMPERED} {before}",
            "alert about": f"batch {alert['batch']}, {alert['agency']}",
            "platform": _side(alert["platform"]),
            "consumer": _side(alert["consumer"]),
        }

    async def repair(self) -> dict[str, Any]:
        """Take the whole table again; both sides agree."""
        delivery = await self._take(HEALTH_NEED, self._health, "--renew")
        return _told(await self._compare("卫生健康委员会 · table renewed", delivery))

    async def join_late(self) -> dict[str, Any]:
        """Have a third agency subscribe now; its table must equal the first one's."""
        stage = self._stage
        await request_divisions(stage.town, EDUCATION_NEED)
        await self._education.create(stage.stack.administrator_url)
        delivery = await self._take(EDUCATION_NEED, self._education)
        compared = await self._compare("教育局 · joined late", delivery)
        dumps = [
            await database.dump_digest(TABLE, ITEMS) for database in (self._health, self._education)
        ]
        stage.report.late_joiner_equal = dumps[0] == dumps[1]
        if not stage.report.late_joiner_equal:
            raise StoryBroken(f"the two departments' tables differ: {dumps}")
        return {"ordered dump of both, SHA-256": dumps[0]} | _told(compared)

    async def _publish(self, change: Change, name: str) -> None:
        """Publish a change, declaring what it must come to."""
        file = self._stage.directory / name
        write_csv(change.table, file)
        options = ["--mode", "changes"]
        for figure in CHANGES:
            options += [f"--{figure}", str(getattr(change, figure))]
        await publish_rows(self._stage.town, DIVISIONS, file, *options)

    async def _take(
        self, need: Need, database: DepartmentDatabase, *options: str, code: int = 0
    ) -> dict[str, Any]:
        """Run `datong receive`; return the last delivery that it took.

        Args:
            code: exit code that it must end with.
        """
        arguments = ["receive", DIVISIONS, "--into", str(database.url_file), "--table", TABLE]
        arguments += ["--purpose", need.purpose, "--wait", DELIVERY_SECONDS]
        arguments += ["--spool", str(self._stage.directory / "spool" / need.system)]
        found, ended = await run_as(
            self._stage.town, need.system, *arguments, *options, codes=(0, code)
        )
        if not found["deliveries"]:
            raise StoryBroken(f"nothing was delivered within {DELIVERY_SECONDS} s")
        if ended != code:
            raise StoryBroken(f"datong receive ended with {ended}, expected {code}: {found}")
        last: dict[str, Any] = found["deliveries"][-1]
        return last

    async def _compare(
        self,
        title: str,
        delivery: Mapping[str, Any],
        *,
        declared: Sequence[str] = (),
        state: str = "agreed",
    ) -> Comparison:
        """Return both sides' figures of a delivery as the owner's administrator sees them.

        Args:
            declared: which of the owner's figures can be compared with those of this delivery.

        Raises:
            StoryBroken: it is in another state.
        """
        administrator = self._stage.town.client("administrator")
        page = await administrator.list_reconciliations(DIVISIONS)
        for batch in page.items:
            for each in batch["deliveries"]:
                if each["delivery"] == delivery["delivery"]:
                    found = Comparison(
                        title,
                        batch["batch"],
                        {name: batch["declared"][name] for name in declared},
                        each["platform"] or {},
                        each["consumer"] or {},
                        each["state"],
                    )
                    self._stage.report.comparisons.append(found)
                    if found.state != state:
                        raise StoryBroken(f"{title}: expected {state}: {found}")
                    return found
        raise StoryBroken(f"{title}: no report names the delivery: {delivery}")


def _told(compared: Comparison) -> dict[str, Any]:
    return {"both sides counted": _side(compared.consumer), "state": compared.state}


def _side(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figures.get(name) for name in FIGURES}
