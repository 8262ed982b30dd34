"""The register: enterprises that were never founded, the same ones each time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Final

from stack.owner_service.codes import credit_code

SIZE: Final = 20_000
_AREAS: Final = (("330102", "上城区"), ("330105", "拱墅区"), ("330106", "西湖区"))
_WORDS: Final = ("启明", "云栖", "湖山", "新禾", "远帆", "百川", "和风", "星桥", "青田", "明州")
_TRADES: Final = ("信息技术", "商贸", "建材", "餐饮管理", "物流", "医疗器械", "文化传播")
_STATES: Final = ("存续", "存续", "存续", "存续", "注销", "吊销")


@dataclass(frozen=True)
class Enterprise:
    """One entry of the register.

    Attributes:
        capital: registered, in ten thousand yuan.
    """

    code: str
    name: str
    area: str
    state: str
    capital: int
    founded: str


class Register:
    """All enterprises, by code and by name."""

    def __init__(self, size: int = SIZE) -> None:
        made = map(_enterprise, range(size))
        self._by_code = {enterprise.code: enterprise for enterprise in made}

    def __len__(self) -> int:
        return len(self._by_code)

    def __iter__(self) -> Iterator[Enterprise]:
        return iter(self._by_code.values())

    def get(self, code: str) -> Enterprise | None:
        """Return the enterprise of this code."""
        return self._by_code.get(code)

    def find(self, name: str, limit: int) -> list[Enterprise]:
        """Return the first enterprises whose name holds `name`."""
        found = (each for each in self._by_code.values() if name in each.name)
        return list(islice(found, limit))


def _enterprise(number: int) -> Enterprise:
    area, district = _AREAS[number % len(_AREAS)]
    word = _WORDS[number * 7 % len(_WORDS)] + _WORDS[number // 10 % len(_WORDS)]
    trade = _TRADES[number * 3 % len(_TRADES)]
    founded = date(2001, 1, 1) + timedelta(days=number * 37 % 9000)
    return Enterprise(
        code=credit_code("91", area, f"TQ{number:06d}"),
        name=f"杭州{word}{trade}有限公司（样例{number:05d}）",
        area=district,
        state=_STATES[number * 5 % len(_STATES)],
        capital=(number * 13 % 500 + 1) * 10,
        founded=founded.isoformat(),
    )
