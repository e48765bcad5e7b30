-- Distinct trades of a module in each phase of each horizon, per week and bot; trades whose phase
-- is not known are left out.
INSERT INTO regime_phase_counts (source, module, observer, horizon, week, phase, n)
SELECT
    'trades', e.module, e.bot, p.horizon,
    date_trunc('week', e.closed_at, 'UTC')::date, p.phase, count(DISTINCT e.trade_id)
FROM pattern_trade_events AS e
CROSS JOIN LATERAL (VALUES
    ('macro', e.scope ->> 'macro_phase'),
    ('meso', e.scope ->> 'meso_phase'),
    ('micro', e.scope ->> 'micro_phase')
) AS p (horizon, phase)
WHERE e.module = :module AND e.origin = ANY (:origins) AND e.seq = 0 AND p.phase IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6
