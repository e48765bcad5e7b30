-- Trades of a module in each phase of each horizon, per week and bot: each trade once, with the
-- context of its first action; where that knows no phase the trade is left out.
WITH trades AS MATERIALIZED (
    SELECT DISTINCT ON (strand_id)
        bot, scope, date_trunc('week', closed_at, 'UTC')::date AS week
    FROM pattern_trade_events
    WHERE module = :module AND origin = ANY (:origins) AND seq = 0
    ORDER BY strand_id, id
)
INSERT INTO regime_phase_counts (source, module, observer, horizon, week, phase, n)
SELECT 'trades', :module, t.bot, p.horizon, t.week, p.phase, count(*)
FROM trades AS t
CROSS JOIN LATERAL (VALUES
    ('macro', t.scope ->> 'macro_phase'),
    ('meso', t.scope ->> 'meso_phase'),
    ('micro', t.scope ->> 'micro_phase')
) AS p (horizon, phase)
WHERE p.phase IS NOT NULL
GROUP BY t.bot, p.horizon, t.week, p.phase
