"""Synthetic entries of a city, named by rule as a city names what it holds; no real ones."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from services.catalog.domain import (
    Content,
    DataFormat,
    DataGrade,
    Entry,
    Item,
    ItemType,
    Mode,
    ShareClass,
    UpdateFrequency,
    Version,
    VersionState,
)


def _words(*lines: str) -> list[str]:
    return " ".join(lines).split()


AREAS: Final = _words(
    "上城区 拱墅区 西湖区 滨江区 萧山区 余杭区 临平区 钱塘区 富阳区 临安区",
    "桐庐县 淳安县 建德市 市本级",
)
BODIES: Final = _words(
    "民政局 公安局 人力资源和社会保障局 市场监督管理局 卫生健康委员会 教育局 税务局 自然资源局 ",
    "生态环境局 住房保障和房产管理局 交通运输局 水利局 农业农村局 文化广电旅游局 应急管理局 ",
    "审计局 统计局 医疗保障局 城市管理局 数据资源管理局",
)
SUBJECTS: Final = _words(
    "企业 个体工商户 社会组织 常住人口 流动人口 死亡人口 低保对象 残疾人 退役军人 学生 教师 医师 ",
    "护士 建筑工程 房屋 不动产 机动车 驾驶人 道路运输车辆 河道 水库 公园 景区 食品经营户 药品零售 ",
    "特种设备 排污单位 危险化学品 农民专业合作社 专利",
)
MATTERS: Final = _words(
    "登记 注销 行政处罚 行政许可 信用评价 年度报告 监督抽查 培训 资格证书 统一社会信用代码 缴费 ",
    "补贴发放 备案 验收 巡查 投诉举报 检验检测 死亡证明 婚姻登记 河长制 排名 考核 名录 台账",
)
ENDINGS: Final = _words("信息 数据 清单 明细 汇总 目录 结果")
TITLES: Final = _words(
    "姓名 性别 出生日期 公民身份号码 统一社会信用代码 单位名称 法定代表人 住所 登记日期 有效期 ",
    "联系电话 行政区划代码 处罚决定书文号 金额 年度 状态 经度 纬度 备注 GB/T编码",
)
LETTERS: Final = _words("GIS POI API PM2.5 GDP A类 B级 II期")


def agencies(number: int) -> list[tuple[str, str]]:
    """Return ids and names of `number` agencies, at most 280."""
    made = [(area, body) for body in BODIES for area in AREAS]
    return [
        (f"agency-{at:03}", f"杭州市{area}{body}") for at, (area, body) in enumerate(made[:number])
    ]


def entries(
    number: int, *, agencies_of: int = 200, start: int = 7
) -> Iterator[tuple[Entry, Version]]:
    """Yield `number` published entries, the same ones for the same `start`."""
    chance = random.Random(start)
    owners = agencies(agencies_of)
    at = datetime(2026, 1, 5, 8, tzinfo=UTC)
    for each in range(number):
        agency, owner = chance.choice(owners)
        name = _name(chance)
        version = Version(1, VersionState.PUBLISHED, _content(name, owner, chance), frozenset(), at)
        entry_id = f"019b8c00-0000-7000-8000-{each:012x}"
        yield Entry(entry_id, agency, f"resource-{each}", 4, at, (version,)), version


def _name(chance: random.Random) -> str:
    area = chance.choice(AREAS)
    subject, matter, ending = map(chance.choice, (SUBJECTS, MATTERS, ENDINGS))
    letters = f"（{chance.choice(LETTERS)}）" if chance.random() < 0.1 else ""
    return f"杭州市{area}{subject}{matter}{ending}{letters}"


def _content(name: str, owner: str, chance: random.Random) -> Content:
    titles = chance.sample(TITLES, chance.randint(3, 8))
    matter, subject = chance.choice(MATTERS), chance.choice(SUBJECTS)
    return Content(
        name=name,
        summary=f"{owner}在履行职责过程中产生的{subject}{matter}相关记录，用于{chance.choice(MATTERS)}和"
        f"{chance.choice(SUBJECTS)}管理；每{chance.choice('日周月季年')}更新。",
        items=tuple(
            Item(f"item_{at}", title, ItemType.TEXT, at == 0, at == 0, False)
            for at, title in enumerate(titles)
        ),
        data_format=DataFormat.DATABASE,
        update_frequency=chance.choice(list(UpdateFrequency)),
        share_class=chance.choice(list(ShareClass)),
        legal_basis=None,
        share_conditions=None,
        modes=tuple(chance.sample([Mode.QUERY, Mode.BATCH], chance.randint(1, 2))),
        use_conditions="仅用于履行职责",
        data_grade=DataGrade.GENERAL,
        line=None,
        area=None,
    )
