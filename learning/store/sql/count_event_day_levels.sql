-- First entries of some days (UTC) by bot and level of each dimension, from the events.
SELECT d.day, e.bot, l.dimension, e.scope ->> l.dimension AS level, count(*) AS n
FROM unnest(CAST(:days AS date[])) AS d (day)
JOIN pattern_trade_events AS e
    ON e.closed_at >= d.day::timestamp AT TIME ZONE 'UTC'
    AND e.closed_at < (d.day + 1)::timestamp AT TIME ZONE 'UTC'
CROSS JOIN unnest(CAST(:dims AS text[])) AS l (dimension)
WHERE e.seq = 0 AND e.action_category = 'entry' AND e.scope ->> l.dimension IS NOT NULL
GROUP BY d.day, e.bot, l.dimension, e.scope ->> l.dimension
