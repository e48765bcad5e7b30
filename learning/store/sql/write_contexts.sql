-- Write the contexts of trades; name those that are new or say something else than before.
INSERT INTO trade_contexts AS kept (
    bot, origin, trade_id, position_id, scope, max_drawdown_pct, mfe_r, mae_r, payback_hours, missed_entry_rr,
    missed_exit_rr, best_entry_at, best_exit_at, bar_seconds, no_path_reason, reference
)
SELECT *
FROM unnest(
    CAST(:bot AS text[]), CAST(:origin AS text[]), CAST(:trade_id AS text[]),
    CAST(:position_id AS text[]), CAST(:scope AS jsonb[]),
    CAST(:max_drawdown_pct AS float8[]), CAST(:mfe_r AS float8[]), CAST(:mae_r AS float8[]),
    CAST(:payback_hours AS float8[]), CAST(:missed_entry_rr AS float8[]),
    CAST(:missed_exit_rr AS float8[]), CAST(:best_entry_at AS timestamptz[]),
    CAST(:best_exit_at AS timestamptz[]), CAST(:bar_seconds AS integer[]),
    CAST(:no_path_reason AS text[]), CAST(:reference AS text[])
)
ON CONFLICT (bot, trade_id, origin, position_id) DO UPDATE SET
    scope = excluded.scope,
    max_drawdown_pct = excluded.max_drawdown_pct,
    mfe_r = excluded.mfe_r,
    mae_r = excluded.mae_r,
    payback_hours = excluded.payback_hours,
    missed_entry_rr = excluded.missed_entry_rr,
    missed_exit_rr = excluded.missed_exit_rr,
    best_entry_at = excluded.best_entry_at,
    best_exit_at = excluded.best_exit_at,
    bar_seconds = excluded.bar_seconds,
    no_path_reason = excluded.no_path_reason,
    reference = excluded.reference,
    computed_at = now()
WHERE (
    kept.scope, kept.max_drawdown_pct, kept.mfe_r, kept.mae_r, kept.payback_hours,
    kept.missed_entry_rr, kept.missed_exit_rr, kept.best_entry_at, kept.best_exit_at,
    kept.bar_seconds, kept.no_path_reason, kept.reference
) IS DISTINCT FROM (
    excluded.scope, excluded.max_drawdown_pct, excluded.mfe_r, excluded.mae_r,
    excluded.payback_hours, excluded.missed_entry_rr, excluded.missed_exit_rr,
    excluded.best_entry_at, excluded.best_exit_at, excluded.bar_seconds, excluded.no_path_reason,
    excluded.reference
)
RETURNING bot, origin, trade_id, position_id
