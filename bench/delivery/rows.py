"""A register of residents, 20 items a row, made by columns; the same number gives the same rows.

Eleven texts, four integers, two decimals, a boolean, a date and a datetime, about 430 bytes of
JSON a row. Names, places and remarks are Chinese, as in the tables that departments share. Every
item has the rules that a real one would have, so that checking costs what it costs in earnest.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

SLICE_ROWS: Final = 65_536
RESOURCE: Final = "resident-register"
FORMATS: Final = ("arrow", "csv", "ndjson")
BARE: Final = frozenset({"integer", "boolean"})
"""Types that JSON writes without quotes."""

_STATES: Final = ("在册", "迁出", "注销", "待核")
_KINDS: Final = ("家庭户", "集体户", "空挂户")
_SCHOOLING: Final = ("小学", "初中", "高中", "大专", "本科", "硕士", "博士")
_SURNAMES: Final = tuple("王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹")
_GIVEN: Final = tuple("伟芳娜敏静秀英丽强磊军洋勇艳杰娟涛明超霞平刚桂文辉玲建华红玉兰飞鹏")
_NATIONS: Final = ("汉族", "回族", "满族", "畲族", "土家族", "苗族", "壮族")
_DISTRICTS: Final = ("上城区", "拱墅区", "西湖区", "滨江区", "萧山区", "余杭区", "临平区", "钱塘区")
_ROADS: Final = ("文三路", "天目山路", "体育场路", "凤起路", "江南大道", "市心中路", "莫干山路")
_VILLAGES: Final = ("翠苑社区", "古荡社区", "采荷社区", "长河社区", "城厢社区", "良渚社区")
_REMARKS: Final = (
    "随父母迁入，户籍材料齐全，已与公安部门核对。",
    "租住，租赁合同备案至年底，居住证在办。",
    "因工作调动由外省迁入，社会保险关系已转入。",
)


def _item(name: str, title: str, kind: str, **rules: Any) -> dict[str, Any]:
    return {"name": name, "title": title, "type": kind, **rules}


ITEMS: Final[tuple[dict[str, Any], ...]] = (
    _item("number", "登记号", "text", required=True, key=True, pattern="[0-9]{18}"),
    _item("name", "姓名", "text", required=True, max_length=40),
    _item("nation", "民族", "text", required=True, codes=list(_NATIONS)),
    _item("state", "状态", "text", required=True, codes=list(_STATES)),
    _item("household_kind", "户别", "text", codes=list(_KINDS)),
    _item("schooling", "文化程度", "text", codes=list(_SCHOOLING)),
    _item("district", "区县", "text", required=True, max_length=40),
    _item("community", "社区", "text", required=True, max_length=80),
    _item("address", "地址", "text", required=True, max_length=200),
    _item("telephone", "电话", "text", pattern="1[0-9]{10}"),
    _item("remark", "备注", "text", max_length=500),
    _item("household", "户号", "integer", required=True, minimum="0"),
    _item("members", "户内人数", "integer", minimum="1", maximum="30"),
    _item("floor", "楼层", "integer", minimum="-3", maximum="99"),
    _item("points", "积分", "integer"),
    _item("income", "月收入", "decimal", minimum="0"),
    _item("area", "面积", "decimal", minimum="0", maximum="9999"),
    _item("insured", "参保", "boolean", required=True),
    _item("born", "出生日期", "date", required=True, minimum="1900-01-01"),
    _item("updated", "更新时间", "datetime", required=True),
)

ENTRY: Final[dict[str, Any]] = {
    "resource": RESOURCE,
    "name": "常住人口登记",
    "summary": "全市常住人口的登记信息，每日更新。",
    "items": list(ITEMS),
    "data_format": "database",
    "update_frequency": "daily",
    "share_class": "unconditional",
    "modes": ["batch"],
    "use_conditions": "供履行职责使用。",
    "data_grade": "general",
}

_SQL_TYPES: Final = {
    "text": "text",
    "integer": "bigint",
    "decimal": "numeric",
    "boolean": "boolean",
    "date": "date",
    "datetime": "timestamptz",
}

_ARROW_TYPES: Final = {
    "text": pa.utf8(),
    "integer": pa.int64(),
    "decimal": pa.decimal128(18, 2),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", "UTC"),
}


def slices(rows: int) -> Iterator[Any]:
    """Yield the rows as tables of canonical texts, of at most 65,536 rows each."""
    for start in range(0, rows, SLICE_ROWS):
        yield _slice(start, min(SLICE_ROWS, rows - start))


def write_file(path: Path, rows: int, file_format: str) -> None:
    """Write all rows as a file that `datong publish` takes.

    Args:
        file_format: `arrow` (IPC stream), `csv` (with a header line) or `ndjson`.
    """
    with path.open("wb") as sink:
        if file_format == "arrow":
            schema = pa.schema([(item["name"], _ARROW_TYPES[item["type"]]) for item in ITEMS])
            with pa.ipc.new_stream(sink, schema) as writer:
                for table in slices(rows):
                    writer.write_table(table.cast(schema))
        elif file_format == "csv":
            for number, table in enumerate(slices(rows)):
                options = csv.WriteOptions(include_header=number == 0, quoting_style="needed")
                csv.write_csv(table, sink, options)
        else:
            for table in slices(rows):
                sink.write(_ndjson(table))


def create_table(name: str) -> str:
    """Return the SQL that creates a table for the rows, with its primary key."""
    columns = ", ".join(
        f"{item['name']} {_SQL_TYPES[item['type']]}{' NOT NULL' if item.get('required') else ''}"
        for item in ITEMS
    )
    return f"CREATE TABLE {name} ({columns}, PRIMARY KEY (number))"


def _slice(start: int, count: int) -> Any:
    serial = pa.array(range(start, start + count), pa.uint64())

    def draw(item: int, below: int) -> Any:
        """Draw a number below `below` for each row, from row and item alone (splitmix64)."""
        x = pc.add(serial, pa.scalar((item + 1) * 0x9E3779B97F4A7C15 % 2**64, pa.uint64()))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = pc.bit_wise_xor(x, pc.shift_right(x, pa.scalar(shift, pa.uint64())))
            x = pc.multiply(x, pa.scalar(factor, pa.uint64()))
        high = pc.shift_right(x, pa.scalar(34, pa.uint64())).cast(pa.int64())  # 30 bits
        return pc.subtract(high, pc.multiply(pc.divide(high, below), below))

    def one_of(item: int, words: Sequence[str]) -> Any:
        return pa.array(words).take(draw(item, len(words)))

    def some(item: int, column: Any, *, percent: int) -> Any:
        absent = pa.scalar(None, column.type)
        return pc.if_else(pc.less(draw(item, 100), percent), column, absent)

    columns = {
        "number": pc.utf8_lpad(_text(pc.add(serial.cast(pa.int64()), 330_100)), 18, "0"),
        "name": _joined(one_of(1, _SURNAMES), one_of(2, _GIVEN), one_of(3, _GIVEN)),
        "nation": one_of(4, _NATIONS),
        "state": one_of(5, _STATES),
        "household_kind": some(6, one_of(7, _KINDS), percent=90),
        "schooling": some(8, one_of(9, _SCHOOLING), percent=80),
        "district": one_of(10, _DISTRICTS),
        "community": one_of(11, _VILLAGES),
        "address": _joined(
            "浙江省杭州市",
            *(one_of(10, _DISTRICTS), one_of(12, _ROADS), _text(draw(13, 999)), "号"),
            *(_text(draw(14, 40)), "幢", _text(draw(15, 1800)), "室"),
        ),
        "telephone": some(16, _joined("138", _digits(draw(17, 100_000_000), 8)), percent=70),
        "remark": some(18, one_of(19, _REMARKS), percent=30),
        "household": _text(pc.divide(serial.cast(pa.int64()), 3)),
        "members": some(20, _text(pc.add(draw(21, 8), 1)), percent=95),
        "floor": some(22, _text(pc.subtract(draw(23, 36), 3)), percent=85),
        "points": some(24, _text(pc.subtract(draw(25, 20_000), 10_000)), percent=60),
        "income": some(26, _decimal(draw(27, 30_000), draw(28, 9)), percent=75),
        "area": some(29, _decimal(draw(30, 300), draw(31, 9)), percent=90),
        "insured": pc.if_else(pc.less(draw(32, 10), 8), "true", "false"),
        "born": _day(pc.add(draw(33, 30_000), -14_000)),
        "updated": _joined(
            _day(pc.add(draw(34, 700), 19_800)),
            "T",
            _digits(draw(35, 24), 2),
            *(":", _digits(draw(36, 60), 2), ":", _digits(draw(37, 60), 2), ".000000Z"),
        ),
    }
    return pa.table({item["name"]: columns[item["name"]] for item in ITEMS})


def _text(numbers: Any) -> Any:
    return numbers.cast(pa.utf8())


def _digits(numbers: Any, width: int) -> Any:
    return pc.utf8_lpad(_text(numbers), width, "0")


def _joined(*parts: Any) -> Any:
    return pc.binary_join_element_wise(*parts, "")


def _decimal(whole: Any, tenth: Any) -> Any:
    """Return canonical decimals: one digit after the point, which is never 0."""
    return _joined(_text(whole), ".", _text(pc.add(tenth, 1)))


def _day(days: Any) -> Any:
    """Return dates, given days since 1970-01-01."""
    return days.cast(pa.int32()).cast(pa.date32()).cast(pa.utf8())


def _ndjson(table: Any) -> bytes:
    """Return a line of JSON per row; no value is no member. No text holds what JSON escapes."""
    members: list[Any] = []
    for number, item in enumerate(ITEMS):
        quote = "" if item["type"] in BARE else '"'
        before = ("," if number else "{") + f'"{item["name"]}":{quote}'
        column = table.column(item["name"])
        members.append(pc.binary_join_element_wise(before, column, quote, ""))
    lines = pc.binary_join_element_wise(*members, "}\n", "", null_handling="skip")
    # The values of a text column lie one after the other in its data buffer.
    return b"".join(bytes(chunk.buffers()[2]) for chunk in lines.chunks)
