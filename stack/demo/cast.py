"""Who else takes part once the other two share classes are told: whom `found` leaves out."""

from typing import Final

from stack.demo.town import CIVIL_AFFAIRS, Cast

POLICE: Final = "hangzhou-police"
HUMAN_RESOURCES: Final = "hangzhou-human-resources"
MARKET: Final = "hangzhou-market-regulation"


THREE_CLASSES: Final = Cast(
    agencies=(
        (POLICE, "杭州市公安局"),
        (HUMAN_RESOURCES, "杭州市人力资源和社会保障局"),
        (MARKET, "杭州市市场监督管理局"),
    ),
    people=(
        ("civil-affairs-head", CIVIL_AFFAIRS, "林岚", ["agency_head"]),
        ("police-registrar", POLICE, "高远", ["registrar"]),
        ("police-reviewer", POLICE, "何平", ["reviewer"]),
        ("police-administrator", POLICE, "罗清", ["resource_administrator"]),
        ("police-head", POLICE, "梁正", ["agency_head"]),
        ("police-officer", POLICE, "宋明", ["technical_officer"]),
        ("police-sharing-head", POLICE, "唐宁", ["sharing_office_head"]),
        ("market-registrar", MARKET, "郑新", ["registrar"]),
        ("market-reviewer", MARKET, "谢安", ["reviewer"]),
        ("market-administrator", MARKET, "韩平", ["resource_administrator"]),
        ("market-head", MARKET, "冯远", ["agency_head"]),
        ("benefits-officer", HUMAN_RESOURCES, "许文", ["technical_officer"]),
        ("benefits-head", HUMAN_RESOURCES, "邓礼", ["sharing_office_head"]),
    ),
    systems=(
        ("population", POLICE, "人口管理系统"),
        ("investigation", POLICE, "打击拐卖犯罪侦查系统"),
        ("benefits", HUMAN_RESOURCES, "失业保险系统"),
        ("campaign", HUMAN_RESOURCES, "待遇专项核查系统"),
        ("pensions", HUMAN_RESOURCES, "养老保险系统"),
        ("recruitment", HUMAN_RESOURCES, "招聘服务系统"),
    ),
)
"""Nobody is called like a real official of these agencies; all of it is made up."""
