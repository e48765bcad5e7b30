"""Strategies as freqtrade's users write them, each with and without Edgekeeper."""

from __future__ import annotations

from freqtrade.strategy import IStrategy

from learning.bot.freqtrade import EdgekeeperMixin


class Crossing(IStrategy):
    """Two averages that cross, with a stop and a target; two tags."""

    INTERFACE_VERSION = 3
    timeframe = "1h"
    stoploss = -0.05
    minimal_roi = {"0": 0.06}  # noqa: RUF012
    startup_candle_count = 60

    def populate_indicators(self, dataframe, metadata):
        dataframe["fast"] = dataframe["close"].ewm(span=12).mean()
        dataframe["slow"] = dataframe["close"].ewm(span=50).mean()
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        above = dataframe["fast"] > dataframe["slow"]
        crossed = above & ~above.shift(1, fill_value=True)
        dipped = above & (dataframe["close"] < dataframe["slow"])
        dataframe.loc[dipped, ["enter_long", "enter_tag"]] = (1, "dip")
        dataframe.loc[crossed, ["enter_long", "enter_tag"]] = (1, "cross")
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        below = dataframe["fast"] < dataframe["slow"]
        dataframe.loc[below & ~below.shift(1, fill_value=True), "exit_long"] = 1
        return dataframe


class CrossingMixed(EdgekeeperMixin, Crossing):
    """The mixin before an existing strategy."""


class Adjusting(Crossing):
    """Its own stake, one add, one trim and its own stop."""

    position_adjustment_enable = True
    use_custom_stoploss = True

    def custom_stake_amount(self, pair, current_time, proposed_stake, entry_tag, **kwargs):
        return proposed_stake / 2 if entry_tag == "dip" else proposed_stake

    def adjust_trade_position(self, trade, current_time, current_profit, **kwargs):
        if current_profit < -0.03 and trade.nr_of_successful_entries == 1:
            return 40.0
        if current_profit > 0.03 and trade.nr_of_successful_exits == 0:
            return -trade.stake_amount / 2
        return None

    def custom_stoploss(
        self, pair, trade, current_time, current_rate, current_profit, after_fill, **kwargs
    ):
        return -0.02 if current_profit > 0.04 else None


class AdjustingMixed(EdgekeeperMixin, Adjusting):
    """As above."""


class AdjustingRecorded(EdgekeeperMixin, Adjusting):
    """Writes its backtest down."""

    edgekeeper_records_backtests = True

    def edgekeeper_scope(self, pair, current_time, side, enter_tag):
        return {"market_family": "l1" if pair in ("BTC/USDT", "ETH/USDT") else "other"}

    def edgekeeper_signals(self, pair, current_time, side, enter_tag):
        dataframe, _ = self.dp.get_analyzed_dataframe(pair, self.timeframe)
        last = dataframe.iloc[-1]
        return {"spread": float(last["fast"] / last["slow"] - 1)}


class AdjustingBothWays(EdgekeeperMixin, Adjusting):
    """Lets the exit aggression move its own stop away from the price too."""

    edgekeeper_scales_stoploss = True


class CrossingNearer(EdgekeeperMixin, Crossing):
    """Lets the exit aggression bring its fixed stop nearer."""

    edgekeeper_scales_stoploss = True


class FailingScope(EdgekeeperMixin, Crossing):
    """A scope that cannot be told."""

    edgekeeper_records_backtests = True

    def edgekeeper_scope(self, pair, current_time, side, enter_tag):
        raise KeyError("no such column")
