# ruff: noqa: E501 (wide characters count double)
"""The words of TradingView's "List of trades", in the languages that were seen.

A header is found by name first. Where a language is not known here, the place of a column tells:
each generation of the export has one order of columns, and money columns name their currency.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "number": (
        "trade #", "trade number", "trade no", "trade no.", "№ сделки", "номер сделки", "сделка #",
        "交易 #", "交易编号", "交易編號", "交易号", "トレード番号", "取引番号", "取引 #", "トレード #",
        "n.º de operación", "operación n.º", "operación #", "n.º de operação", "operação #",
        "nº da negociação", "trade-nr.", "trade nr.", "trade-nummer", "n° de trade",
        "numéro de trade", "transaction #", "operazione #", "n. operazione", "işlem #",
        "işlem numarası", "거래 #", "거래 번호", "nr transakcji", "transakcja #",
    ),
    "type": (
        "type", "тип", "类型", "類型", "タイプ", "種類", "tipo", "typ", "tür", "유형", "종류",
    ),
    "signal": (
        "signal", "сигнал", "信号", "訊號", "信號", "シグナル", "señal", "sinal", "segnale", "sinyal",
        "신호", "시그널", "sygnał",
    ),
    "time": (
        "date/time", "date and time", "date & time", "date", "datetime", "дата/время",
        "дата и время", "дата", "日期/时间", "日期/時間", "日期和时间", "日期和時間", "日時", "日付/時刻",
        "日付と時刻", "日付/時間", "fecha/hora", "fecha y hora", "data/hora", "data e hora",
        "datum/uhrzeit", "datum und uhrzeit", "datum/zeit", "date/heure", "date et heure",
        "data/ora", "data e ora", "tarih/saat", "tarih ve saat", "날짜/시간", "날짜 및 시간",
        "data/czas", "data i godzina",
    ),
    "price": (
        "price", "цена", "价格", "價格", "価格", "precio", "preço", "preis", "kurs", "prix",
        "prezzo", "fiyat", "가격", "cena",
    ),
    "quantity": (
        "contracts", "quantity", "qty", "size (qty)", "position size (qty)", "контракты",
        "количество", "размер (кол-во)", "размер позиции (кол-во)", "合约", "合約", "数量", "數量",
        "仓位大小(数量)", "大小(数量)", "大小(數量)", "持倉大小(數量)", "サイズ (数量)", "ポジションサイズ (数量)", "コントラクト", "契約数",
        "contratos", "kontrakte", "contrats", "contratti", "kontratlar", "계약",
    ),
    "value": (
        "size (value)", "position size (value)", "размер (значение)", "размер позиции (стоимость)",
        "仓位大小(价值)", "大小(价值)", "大小(價值)", "持倉大小(值)", "サイズ (金額)", "ポジションサイズ (金額)",
    ),
    "pnl": (
        "profit", "net profit", "p&l", "net p&l", "net pnl", "прибыль", "чистые пр/уб",
        "чистая прибыль", "利润", "盈利", "净损益", "淨損益", "獲利", "利益", "損益", "純損益", "純利益",
        "beneficio", "ganancia", "pyg netas", "lucro", "gewinn", "netto-g&v", "bénéfice", "p&p nets",
        "profitto", "kâr", "net k&z", "수익", "순손익", "이익", "zysk",
    ),
    "pnl_pct": ("return", "доходность", "收益率", "報酬率", "リターン", "回报", "回報"),
    "runup": (
        "run-up", "favorable excursion", "mfe", "макс. прибыль", "взлет", "上涨幅度", "上漲幅度",
        "最大浮盈", "ランアップ", "最大含み益", "最大順行幅", "有利波动", "有利波動",
    ),
    "drawdown": (
        "drawdown", "adverse excursion", "mae", "просадка", "回撤", "亏损幅度", "ドローダウン",
        "最大含み損", "最大逆行幅", "不利波动", "不利波動",
    ),
    "cumulative": (
        "cum. profit", "cumulative profit", "cumulative p&l", "cumulative pnl", "совокупная прибыль",
        "совокупные пр/уб", "накопленная прибыль", "累计利润", "累計獲利", "累计损益", "累積損益",
        "累積利益",
    ),
    "commission": ("commission", "комиссия", "佣金", "手续费", "手續費", "手数料", "comisión"),
    "bars": ("duration (bars)", "bars", "длительность (бары)", "持续时间(k线)"),
}  # fmt: skip
_ROLE_OF: Final = {name: role for role, names in _NAMES.items() for name in names}
_UNPAIRED: Final = {
    # headers without columns in %, by where the time stands: the order of what follows the price
    3: ("quantity", "pnl", "cumulative", "runup", "drawdown"),
    2: ("quantity", "value", "pnl", "runup", "drawdown", "cumulative"),
}
_PAIRED: Final = {
    # the values that have a column in % beside them, in their order
    3: ("pnl", "cumulative", "runup", "drawdown"),
    2: ("pnl", "runup", "drawdown", "cumulative"),
}
_CURRENCY: Final = re.compile(r"(.+?)\s+(?:in\s+)?\(?([A-Z]{3,6}|[$€£¥₽₹₩₺])\)?")
_ENTRY: Final = (
    "entry", "enter", "вход", "進場", "进场", "入场", "入場", "開倉", "开仓", "エントリー", "entrada",
    "einstieg", "entrée", "ingresso", "entrata", "giriş", "진입", "wejście",
)  # fmt: skip
_EXIT: Final = (
    "exit", "выход", "出場", "出场", "离场", "平倉", "平仓", "エグジット", "イグジット", "決済", "salida",
    "saída", "ausstieg", "sortie", "uscita", "çıkış", "청산", "wyjście",
)  # fmt: skip
_LONG: Final = (
    "long", "длин", "лонг", "покуп", "多", "ロング", "買", "买", "larg", "compra", "longue", "uzun",
    "롱", "매수", "dług", "lung",
)  # fmt: skip
_SHORT: Final = (
    "short", "корот", "шорт", "продаж", "空", "ショート", "売", "卖", "賣", "cort", "vend", "venta",
    "court", "kısa", "숏", "매도", "krótk",
)  # fmt: skip
_STILL_OPEN: Final = frozenset({
    "open", "открыта", "открыт", "открыто", "открытая", "オープン", "未決済", "持仓中", "持倉中", "未平仓",
    "未平倉", "开仓", "開倉", "打开", "開啟", "abierta", "abierto", "aberta", "aberto", "offen",
    "ouvert", "ouverte", "aperta", "aperto", "açık", "미청산", "오픈", "otwarta", "otwarte",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ListHeader:
    """Where each value of the list stands, by role; ``currency`` is that of the profit.

    ``by_place`` are the roles that were told by the place of their columns, not by name.
    """

    places: Mapping[str, int]
    currency: str | None
    generation: str
    by_place: tuple[str, ...] = ()

    def is_complete(self) -> bool:
        """Say whether closed trades can be read by it."""
        return {"number", "type", "signal", "time", "price"} <= set(self.places)


def list_header(columns: Sequence[str]) -> ListHeader | None:
    """Return the header of a list of trades; None where the columns are another table's.

    Its first five columns must be called what they are; of the others, those with unknown names
    are told by their place.

    Examples:
        >>> list_header(["Trade #", "Type", "Date/Time", "Signal", "Price USD", "Net P&L %"]).places
        {'number': 0, 'type': 1, 'time': 2, 'signal': 3, 'price': 4, 'pnl_pct': 5}
        >>> list_header(["symbol", "side", "price"]) is None
        True
    """
    header = _named_header(columns)
    return _completed(header, columns) if header.is_complete() else None


def known_words(text: str) -> int:
    """Count the names of columns in a line that are known in some language, and no English ones.

    Examples:
        >>> known_words("№ сделки;Тип;Сигнал"), known_words("Trade #,Type,Signal")
        (3, 0)
    """
    cells = re.split(r"[,;\t|]", text.lower())
    return sum(not cell.isascii() and _role_of(cell.strip('" '))[0] is not None for cell in cells)


def header_by_place(columns: Sequence[str], *, time_place: int) -> ListHeader | None:
    """Return the header of a list in a language that is not known, by the order of its columns."""
    if time_place not in _PAIRED or len(columns) < 7:
        return None
    named = _named_header(columns)
    first = {"number": 0, "type": 1, "time": time_place, "signal": 5 - time_place, "price": 4}
    rest = {role: place for role, place in named.places.items() if place > 4 and role not in first}
    told = tuple(role for role, place in first.items() if named.places.get(role) != place)
    header = ListHeader(first | rest, named.currency, "by the place of its columns", told)
    return _completed(header, columns)


def _named_header(columns: Sequence[str]) -> ListHeader:
    places: dict[str, int] = {}
    currency = None
    for place, column in enumerate(columns):
        role, money = _role_of(column)
        if role is not None and role not in places:
            places[role] = place
            currency = money if role == "pnl" and money else currency
    return ListHeader(places, currency, _generation(places))


def _completed(header: ListHeader, columns: Sequence[str]) -> ListHeader:
    """The header with the roles of unknown names after the price, told by their places."""
    told = dict(_told_by_place(header, columns))
    if any(told.get(role, place) != place for role, place in header.places.items()):
        return header  # an order of its own: only names count
    taken = set(header.places.values())
    found = {
        role: place
        for role, place in told.items()
        if role not in header.places and place not in taken
    }
    currency = header.currency
    if currency is None and "pnl" in found:
        money = _CURRENCY.fullmatch(" ".join(columns[found["pnl"]].split()))
        currency = None if money is None else money[2]
    places = {**header.places, **found}
    return ListHeader(places, currency, header.generation, (*header.by_place, *found))


def _told_by_place(header: ListHeader, columns: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Roles and places after the price, as every generation orders them."""
    groups = _groups(columns, header.places["price"] + 1)
    by_time = 2 if header.places["time"] < header.places["signal"] else 3
    paired = [group for group in groups if len(group) == 2]
    if not paired:
        yield from zip(_UNPAIRED[by_time], (group[0] for group in groups), strict=False)
        return
    if len(paired) != len(_PAIRED[by_time]):
        return
    for role, group in zip(_PAIRED[by_time], paired, strict=True):
        yield role, group[0]
        yield f"{role}_pct", group[1]
    before = groups[: groups.index(paired[0])]
    yield from zip(("quantity", "value"), (group[0] for group in before), strict=False)
    between = [g for g in groups if len(g) == 1 and paired[0][0] < g[0] < paired[1][0]]
    yield from (("commission", group[0]) for group in between[:1])


def _groups(columns: Sequence[str], start: int) -> list[tuple[int, ...]]:
    """Places from ``start`` on; a column in % belongs to the one before it."""
    groups: list[tuple[int, ...]] = []
    for place in range(start, len(columns)):
        if columns[place].strip().endswith("%") and groups and len(groups[-1]) == 1:
            groups[-1] = (groups[-1][0], place)
        else:
            groups.append((place,))
    return groups


def _role_of(column: str) -> tuple[str | None, str | None]:
    """Role and currency of one column."""
    text = " ".join(column.replace("\u00a0", " ").split())
    percent = text.endswith("%")
    base = text.removesuffix("%").strip()
    found = _CURRENCY.fullmatch(base)
    for name, money in ((base, None), (found[1], found[2]) if found else (base, None)):
        role = _ROLE_OF.get(name.lower().replace("（", "(").replace("）", ")"))
        if role is not None:
            role = role.removesuffix("_pct")
            return (f"{role}_pct" if percent else role), money
    return None, None


def _generation(places: Mapping[str, int]) -> str:
    if "commission" in places or "bars" in places:
        return "headers of 2026"
    by_time = places.get("time", 0) < places.get("signal", 0)
    return "headers of 2024-25" if by_time else "headers before 2024"


def event_of(label: str) -> tuple[str, str] | None:
    """Return what a row is, ``entry`` or ``exit``, and the side; None for unknown words.

    Examples:
        >>> event_of("Exit Long"), event_of("Вход в короткую позицию"), event_of("balance")
        (('exit', 'long'), ('entry', 'short'), None)
    """
    text = label.strip().lower()
    is_entry, is_exit = _holds(text, _ENTRY), _holds(text, _EXIT)
    is_long, is_short = _holds(text, _LONG), _holds(text, _SHORT)
    if is_entry == is_exit or is_long == is_short:
        return None
    return ("entry" if is_entry else "exit"), ("long" if is_long else "short")


def _holds(text: str, words: Sequence[str]) -> bool:
    return any(word in text for word in words)


def is_still_open(signal: str) -> bool:
    """Say whether the signal of an exit row says that the trade is still open."""
    return signal.strip().lower() in _STILL_OPEN
