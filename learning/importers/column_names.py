# ruff: noqa: E501 (tables of names)
"""What people call the columns that we know, so that a mapping can be proposed from names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

# our name → what it is called elsewhere, the best first; written without case and punctuation
FILL_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": (
        "time", "timestamp", "datetime", "date", "dateutc", "timeutc", "dateandtime", "executedat",
        "filledat", "filltime", "tradetime", "exectime", "executiontime", "transacttime", "createdat",
        "createtime", "filledtime", "filldate", "transactiontime", "executiondate", "tradedate", "ts",
        "timestampms", "unixtime", "closingtime", "placingtime",
    ),
    "symbol": (
        "symbol", "pair", "tradingpair", "market", "ticker", "instrument", "instid", "contract",
        "product", "productid", "asset", "coin", "security", "currencypair", "pairs", "spotpairs",
        "instrumentname", "contractname", "symbolname", "futures",
    ),
    "side": (
        "side", "buysell", "bs", "direction", "action", "tradetype", "type", "transactiontype",
        "tradeside", "orderside", "isbuyer", "ordertype", "position",
    ),
    "quantity": (
        "quantity", "qty", "executed", "executedqty", "execqty", "filledqty", "fillqty", "filled",
        "fillsize", "filledquantity", "filledamount", "executedamount", "executedquantity",
        "tradeamount", "quantitytransacted", "size", "amount", "volume", "vol", "shares", "units", "contracts", "lots",
        "signedqty", "baseamount", "baseqty",
    ),
    "price": (
        "price", "fillprice", "execprice", "executionprice", "executedprice", "avgprice",
        "averageprice", "average", "tradeprice", "filledprice", "avgfilledprice", "avgfillprice",
        "averagefilledprice", "dealprice", "priceattransaction", "rate", "px",
    ),
    "fee": (
        "tradefeeinquote", "fee", "fees", "commission", "commissions", "feecost", "feeamount", "tradingfee", "comm",
        "feepaid", "costs", "charges", "feesandorspread",
    ),
    "fee_currency": (
        "feecurrency", "feecoin", "feeasset", "commissionasset", "commissioncurrency", "feeccy",
        "feeunit",
    ),
    "order": (
        "orderref", "orderreference", "clientorderid", "clientoid", "clordid", "orderid", "order",
        "orderno", "ordid", "ordernumber",
    ),
    "ref": (
        "exchangetradeid", "id", "tradeid", "fillid", "execid", "executionid", "transactionid",
        "dealid", "tradeno",
    ),
    "tag": ("tag", "pattern", "patternkey", "setup", "signal", "motif", "entertag", "comment", "label"),
    "strategy": ("configfilepath", "strategy", "bot", "algo", "system", "strategyname", "botname"),
    "stop": ("initialstop", "stop", "stoploss", "stopprice", "sl", "stoplossprice"),
    "hedge_side": ("positionside", "posside", "positiondirection"),
    "multiplier": ("multiplier", "contractsize", "pointvalue", "contractmultiplier"),
    "account": ("account", "accountid", "subaccount"),
    "status": ("status", "orderstatus", "state"),
}  # fmt: skip
TRADE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "trade_id": (
        "tradeid", "id", "tradeno", "tradenumber", "ticket", "positionid", "dealid", "no",
    ),
    "symbol": FILL_NAMES["symbol"],
    "side": (
        "side", "direction", "positionside", "longshort", "tradetype", "type", "action", "buysell",
        "position", "marketpos", "marketposition", "openingdirection", "tradedirection",
    ),
    "entry_time": (
        "entrytime", "opentime", "entrydate", "opendate", "opened", "openedat", "entryat", "timein",
        "starttime", "entrytimestamp", "opentimestamp", "dateopened", "entrydatetime", "opendatetime",
        "entryts", "boughtat", "start", "buydate", "buytime", "datein", "openingtime",
    ),
    "exit_time": (
        "exittime", "closetime", "exitdate", "closedate", "closed", "closedat", "exitat", "timeout",
        "endtime", "exittimestamp", "closetimestamp", "dateclosed", "exitdatetime", "closedatetime",
        "exitts", "soldat", "end", "selldate", "selltime", "dateout", "closingtime", "closedtime",
    ),
    "entry_price": (
        "entryprice", "openprice", "avgentryprice", "averageentryprice", "entry", "buyprice",
        "openrate", "openingprice", "pricein", "entryavg", "avgentry", "pricebought",
    ),
    "exit_price": (
        "exitprice", "closeprice", "avgexitprice", "averageexitprice", "exit", "sellprice",
        "closerate", "closingprice", "priceout", "exitavg", "avgexit", "pricesold", "avgcloseprice",
        "averagecloseprice", "avgclosingprice", "averageclosingprice",
    ),
    "initial_stop": (
        "initialstop", "stoploss", "stop", "sl", "stopprice", "initialstoploss", "stoplossprice",
        "initialsl", "plannedstop",
    ),
    "quantity": FILL_NAMES["quantity"] + ("positionsize", "contractsize", "closingquantity"),
    "fees": FILL_NAMES["fee"] + ("totalfees", "totalcommission", "feestotal"),
    "pnl_amount": (
        "pnlamount", "netpnl", "netprofit", "realizedpnl", "realisedpnl", "pnl", "profit",
        "profitloss", "pl", "netpl", "pandl", "closingpnl", "closedpnl", "realizedpl", "netusd", "neteur",
    ),
    "pattern_key": ("patternkey",),
    "return_pct": ("returnpct",),
    "return_net_pct": ("returnnetpct", "netreturnpct"),
    "r_multiple_net": ("rmultiplenet", "netr"),
    "rr_path": ("rrpath",),
    "max_drawdown_pct": ("maxdrawdownpct", "maepct", "maepercent"),
    "r_multiple": ("rmultiple", "rmult", "rmultiples", "r", "rvalue", "resultr", "profitr"),
    "exit_reason": ("exitreason", "closereason", "exitsignal", "reason"),
    "timeframe": ("timeframe", "tf", "interval", "barsize"),
    "strategy": ("strategy", "strategyname", "system", "bot", "algo", "botname"),
    "tag": ("pattern", "setup", "tag", "entertag", "entrytag", "signal", "entrysignal", "motif",
            "label", "setupname", "entryname"),
    "currency": ("currency", "ccy", "quotecurrency"),
    "status": ("status", "tradestatus", "positionstatus", "state"),
    "risk_amount": ("riskamount", "riskusd", "dollarrisk", "initialrisk", "risk"),
}  # fmt: skip
_NOISE: Final = re.compile(r"[^a-z0-9]+")
_UNIT: Final = re.compile(
    r"\(((?:utc|gmt)(?:[+-]\d{1,2}(?::?\d{2})?)?|usd|usdt|eur|\$|%|ms|s)\)", re.IGNORECASE
)
_ZONE: Final = re.compile(r"(?:UTC|GMT)\s*([+-]\d{1,2}(?::?\d{2})?)?", re.IGNORECASE)


def plain_name(column: str) -> str:
    """Return a column's name without case, punctuation and units.

    Examples:
        >>> plain_name("Executed Qty"), plain_name("Date(UTC)"), plain_name("entry_time")
        ('executedqty', 'date', 'entrytime')
    """
    return _NOISE.sub("", _UNIT.sub("", column).lower())


def zone_in(column: str) -> str | None:
    """Return the time zone that a column's name tells, as an offset; None where it tells none.

    Examples:
        >>> zone_in("Filled Time(UTC+08:00)"), zone_in("Date(UTC)"), zone_in("time")
        ('+08:00', '+00:00', None)
    """
    found = _ZONE.search(column)
    return None if found is None else found[1] or "+00:00"


def proposed(
    columns: Iterable[str], names: Mapping[str, tuple[str, ...]], said: Mapping[str, str]
) -> dict[str, str]:
    """Return our name → their column: as a mapping says, else as the names suggest.

    No column is used twice; a column that already carries our own name is never another one's.

    Examples:
        >>> proposed(["Pair", "Executed", "Amount"], FILL_NAMES, {})
        {'symbol': 'Pair', 'quantity': 'Executed'}
    """
    theirs = {plain_name(column): column for column in reversed(list(columns))}
    present = set(theirs.values())
    found = {ours: column for ours, column in said.items() if ours in names and column in present}
    found |= {ours: ours for ours in names if ours in present and ours not in found}
    taken = set(found.values())
    for ours, called in names.items():
        if ours in found:
            continue
        match = next((theirs[n] for n in called if n in theirs and theirs[n] not in taken), None)
        if match is not None:
            found[ours] = match
            taken.add(match)
    return {ours: found[ours] for ours in names if ours in found}
