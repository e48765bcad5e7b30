"""Apply the overrides in force to a bot's levers: clamped, neutral when in doubt, never raising.

Nothing here waits: no lock, log, query or file. Each function reads one reference, looks its
scope up and returns a new dict.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from numbers import Number
from typing import Any, Final

from learning.domain.levers import LEVERS, safe_value
from learning.runtime.holdout import holdout_number
from learning.runtime.in_force import InForce, in_force
from learning.runtime.outcome import Adjusted, Application, Arm, Outcome, Reason
from learning.runtime.override_entry import NEVER_HELD_OUT, Override, OverrideKind
from learning.runtime.override_index import Match, combined_levers, first_wins

_STRENGTH: Final = (
    ("A_value", "entry_aggression_mult"),
    ("E_value", "exit_aggression_mult"),
    ("position_size_frac", "size_mult"),
)
# What a share that is no number becomes: the end of its range that adds no risk.
_SHARE_WITHOUT_RISK: Final = {"A_value": 0.0, "E_value": 1.0, "position_size_frac": 0.0}
_ALLOCATIONS: Final = ("allocation", "alloc", "allocation_frac", "allocation_pct")
_SCALED: Final = (
    ("trim_delay", "trim_delay_mult"),
    ("trail_speed", "trail_mult"),
    ("panic_trigger_level", "panic_trigger_mult"),
)
_SET: Final = ("entry_delay_bars", "wait_n_bars_after_trim")
_PHASE_SCALING: Final = "phase_scaling."


def apply_pattern_strength_overrides(
    pattern_key: str,
    action_category: str,
    scope: Mapping[str, Any],
    base_levers: Mapping[str, Any],
    *,
    trade_id: str | None = None,
) -> Adjusted:
    """Scale how strongly a decision is acted on.

    ``A_value`` is multiplied by entry_aggression_mult, ``E_value`` by exit_aggression_mult and
    ``position_size_frac`` by size_mult; each stays within 0 to 1, also where no override applies.
    The size of a trim or an exit is never scaled. Never raises.

    Args:
        pattern_key: The setup, such as ``pm.uptrend.S1.buy_flag``.
        action_category: entry, add, trim or exit, or a decision type of one of them.
        scope: The market context of the decision, as from ``build_scope``.
        base_levers: The bot's own values. Not changed; keys unknown here come back as they are.
        trade_id: The position's id. Without it the override applies, but the decision takes no
            part in measuring its effect.

    Returns:
        A dict whose ``outcome`` says what was applied, in which arm, at which revision, and why.

    Examples:
        >>> adjusted = apply_pattern_strength_overrides(
        ...     "pm.uptrend.S1.buy_flag", "entry", {"bucket": "micro"}, {"A_value": 0.4, "x": 1})
        >>> dict(adjusted), adjusted.outcome.reason
        ({'A_value': 0.4, 'x': 1}, 'no config')
    """
    return _result(
        "strength", pattern_key, action_category, scope, base_levers, trade_id, _write_strength
    )


def apply_pattern_execution_overrides(
    pattern_key: str,
    action_category: str,
    scope: Mapping[str, Any],
    plan_controls: Mapping[str, Any],
    *,
    trade_id: str | None = None,
) -> Adjusted:
    """Change when and how a decision is carried out.

    ``entry_delay_bars`` and ``wait_n_bars_after_trim`` are set, in whole bars rounded toward 0;
    where that gives 0, which is neutral, the bot's own value stays. ``phase1_frac``,
    ``trim_delay``, ``trail_speed`` and ``panic_trigger_level`` are multiplied where the plan has
    them; ``phase_scaling`` is multiplied per state, a state the plan does not name counting as 1.
    Each signal threshold is set by its name: within the plan's ``signal_thresholds`` where it
    keeps them there, else beside its other keys. Never raises.

    Args:
        plan_controls: The bot's own plan. Not changed; other keys come back as they are.

    The other arguments and the result are those of ``apply_pattern_strength_overrides``.
    """
    return _result(
        "execution", pattern_key, action_category, scope, plan_controls, trade_id, _write_plan
    )


def apply_allocation_overrides(
    pattern_key: str,
    action_category: str,
    scope: Mapping[str, Any],
    base_allocation: Mapping[str, Any],
    *,
    trade_id: str | None = None,
) -> Adjusted:
    """Scale how much capital a signal gets: the allocation is multiplied by alloc_mult.

    The allocation is the value under ``allocation``, ``alloc``, ``allocation_frac`` or
    ``allocation_pct``. It has the bot's own unit, so only the multiplier is bounded. Never raises.

    Args:
        base_allocation: The bot's own values. Not changed; other keys come back as they are.

    The other arguments and the result are those of ``apply_pattern_strength_overrides``.
    """
    return _result(
        "allocation", pattern_key, action_category, scope, base_allocation, trade_id, _write_share
    )


def _result(
    kind: OverrideKind,
    pattern_key: str,
    category: str,
    scope: object,
    base: object,
    trade_id: object,
    write: Callable[[Adjusted, Outcome], None],
) -> Adjusted:
    try:
        adjusted = _copied(base)
        adjusted.outcome = _decided(kind, pattern_key, category, scope, trade_id)
        write(adjusted, adjusted.outcome)
    except Exception as error:  # a bot must not fall over its advice; the outcome tells
        adjusted = _neutral(base, write, _failure(error))
    return adjusted


def _neutral(
    base: object, write: Callable[[Adjusted, Outcome], None], outcome: Outcome
) -> Adjusted:
    adjusted = Adjusted()
    with suppress(Exception):
        adjusted = _copied(base)
        write(adjusted, outcome)
    adjusted.outcome = outcome
    return adjusted


def _failure(error: Exception) -> Outcome:
    is_input = isinstance(error, ValueError | TypeError | AttributeError)
    reason: Reason = "unusable input" if is_input else "internal error"
    said = ""
    with suppress(Exception):  # an exception of the caller's own types may not even print
        said = str(error)[:200]
    return Outcome(reason, detail=said)


def _copied(base: object) -> Adjusted:
    if not isinstance(base, Mapping):
        raise TypeError(f"the levers to adjust must be a dict, got {type(base).__name__}")
    return Adjusted(base)


# --- Deciding --------------------------------------------------------------------------------


def _decided(
    kind: OverrideKind, pattern_key: str, category: str, scope: object, trade_id: object
) -> Outcome:
    """Look the overrides up and say which levers are in force."""
    state = in_force()
    table = state.table
    if table is None:
        return Outcome("no config", detail=state.problem or "no override table was installed")
    if not state.overrides_on:
        return Outcome("kill switch", "unassigned", table.generation, table.revision)
    monotonic = time.monotonic()
    now = state.now(monotonic)
    known_scope: Any = {} if scope is None else scope
    match = table.find(kind, pattern_key, category, known_scope, now)
    doubt = state.why_doubtful(monotonic)
    if not match.chosen:
        return Outcome(
            doubt or match.reason or "no override", "unassigned", table.generation, table.revision
        )
    trade = _trade(trade_id)
    parts = tuple(_application(override, trade) for override in match.chosen)
    levers, thresholds = _together(match, parts)
    if doubt is not None:
        parts, levers, thresholds = _made_safe(parts, levers)
    outcome = Outcome(
        reason=doubt or _reason(parts),
        arm=_arm(parts),
        generation=table.generation,
        revision=table.revision,
        levers=levers,
        thresholds=thresholds,
        applications=parts,
        pattern_key=pattern_key,
        action_category=category,
        scope=known_scope,
        trade_id=trade,
        decided_on=now,
        detail=state.problem or "",
    )
    _record(state, outcome)
    return outcome


def _trade(trade_id: object) -> str | None:
    if type(trade_id) is str:
        return trade_id or None
    return str(trade_id) if type(trade_id) is int and trade_id.bit_length() < 256 else None


def _application(override: Override, trade: str | None) -> Application:
    """Say in which arm a trade is, and what the override puts in force there."""
    levers = override.levers
    arm, u, p = _assigned(override, trade)
    if arm == "held_out":
        levers = {name: value for name, value in levers.items() if name in NEVER_HELD_OUT}
    return Application(override, arm, u, p, levers, override.levers)


def _assigned(override: Override, trade: str | None) -> tuple[Arm, float | None, float | None]:
    if trade is None:
        return "unassigned", None, None
    if NEVER_HELD_OUT.issuperset(override.levers) and not override.thresholds:
        return "treated", None, 1.0
    u = holdout_number(trade, override.factor, override.holdout_salt)
    arm: Arm = "held_out" if u < override.holdout_share else "treated"
    return arm, u, 1.0 - override.holdout_share


def _together(
    match: Match, parts: tuple[Application, ...]
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    if all(part.arm != "held_out" for part in parts):
        return match.levers, match.thresholds
    treated = [part.override.thresholds for part in parts if part.arm != "held_out"]
    return combined_levers([part.levers for part in parts]), first_wins(treated)


def _made_safe(
    parts: tuple[Application, ...], known_good: Mapping[str, float]
) -> tuple[tuple[Application, ...], Mapping[str, float], Mapping[str, float]]:
    """Return parts, levers and thresholds of an outage; the parts still make up the levers."""
    levers = {name: safe_value(LEVERS[name], value) for name, value in known_good.items()}
    told = [
        {
            name: value if levers[name] == known_good[name] else LEVERS[name].neutral
            for name, value in part.levers.items()
        }
        for part in parts
    ]
    return tuple(map(_with_levers, parts, told)), levers, {}


def _with_levers(part: Application, levers: Mapping[str, float]) -> Application:
    return part._replace(levers=levers)


def _arm(parts: tuple[Application, ...]) -> Arm:
    arms = {part.arm for part in parts}
    return "held_out" if "held_out" in arms else "treated" if "treated" in arms else "unassigned"


def _reason(parts: tuple[Application, ...]) -> Reason:
    is_withheld = all(part.arm == "held_out" and not part.levers for part in parts)
    return "held out" if is_withheld else "applied"


def _record(state: InForce, outcome: Outcome) -> None:
    if state.record is not None:
        with suppress(Exception):  # what cannot be noted is counted there; it still applies
            state.record(outcome)


# --- Writing ---------------------------------------------------------------------------------


def _write_strength(adjusted: Adjusted, outcome: Outcome) -> None:
    for name, lever in _STRENGTH:
        if name in adjusted:
            adjusted[name] = _share(name, adjusted[name], outcome.levers.get(lever, 1.0))


def _share(name: str, value: object, mult: float) -> object:
    """Return a share times a multiplier within 0 to 1; what is no number at all as it is."""
    number = _number(value)
    if number is None:
        return value
    if math.isnan(number):
        return _SHARE_WITHOUT_RISK[name]
    if mult == 1.0 and 0 <= number <= 1:
        return value
    return min(max(number * mult, 0.0), 1.0)


def _write_share(adjusted: Adjusted, outcome: Outcome) -> None:
    mult = outcome.levers.get("alloc_mult", 1.0)
    for name in _ALLOCATIONS:
        _scale(adjusted, name, mult)


def _write_plan(adjusted: Adjusted, outcome: Outcome) -> None:
    levers = outcome.levers
    _scale_first_part(adjusted, levers.get("phase1_frac_mult", 1.0))
    for name, lever in _SCALED:
        _scale(adjusted, name, levers.get(lever, 1.0))
    for name in _SET:
        bars = int(levers.get(name, 0.0))  # toward 0
        if bars != 0:
            adjusted[name] = bars
    phases = {
        name.removeprefix(_PHASE_SCALING): mult
        for name, mult in levers.items()
        if name.startswith(_PHASE_SCALING) and mult != 1.0
    }
    if phases:
        _write_phases(adjusted, phases)
    if outcome.thresholds:
        _write_thresholds(adjusted, outcome.thresholds)


def _scale(values: dict[str, Any], name: str, mult: float) -> None:
    """Multiply one value in place, where it is a finite number and stays one."""
    if mult == 1.0 or name not in values:
        return
    number = _number(values[name])
    if number is not None and math.isfinite(number * mult):
        values[name] = number * mult


def _scale_first_part(adjusted: Adjusted, mult: float) -> None:
    """Multiply the share of the first phase; it never grows beyond the whole."""
    before = _number(adjusted.get("phase1_frac"))
    _scale(adjusted, "phase1_frac", mult)
    if before is not None and before <= 1 < adjusted["phase1_frac"]:
        adjusted["phase1_frac"] = 1.0


def _write_phases(adjusted: Adjusted, phases: Mapping[str, float]) -> None:
    given = adjusted.get("phase_scaling")
    if given is not None and not isinstance(given, Mapping):
        return
    scaling = dict(given or {})
    for phase, mult in phases.items():
        scaling.setdefault(phase, 1.0)
        _scale(scaling, phase, mult)
    adjusted["phase_scaling"] = scaling


def _write_thresholds(adjusted: Adjusted, thresholds: Mapping[str, float]) -> None:
    kept_together = adjusted.get("signal_thresholds")
    if not isinstance(kept_together, Mapping):
        adjusted.update(thresholds)
        return
    beside = {name: value for name, value in thresholds.items() if name in adjusted}
    adjusted.update(beside)
    within = {name: value for name, value in thresholds.items() if name not in beside}
    adjusted["signal_thresholds"] = {**kept_together, **within}


def _number(value: object) -> float | None:
    """Return any kind of number as a float, NaN and infinity included; None for all else."""
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, Number):
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # decimals and the like are numbers too
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]
    except (TypeError, ValueError):
        return None
