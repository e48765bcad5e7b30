-- The bots of all events, likewise by the index.
WITH RECURSIVE bots AS (
    (SELECT bot FROM pattern_trade_events ORDER BY bot LIMIT 1)
    UNION ALL
    SELECT (SELECT e.bot FROM pattern_trade_events AS e WHERE e.bot > b.bot ORDER BY e.bot LIMIT 1)
    FROM bots AS b
    WHERE b.bot IS NOT NULL
)
SELECT bot FROM bots WHERE bot IS NOT NULL ORDER BY bot
