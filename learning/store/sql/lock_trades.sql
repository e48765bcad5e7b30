-- Wait for the locks of trades, the same that claim_pending_strands tries, in one order.
SELECT pg_advisory_xact_lock(1162300233, lock)
FROM (
    SELECT DISTINCT hashtext(t.bot || '/' || t.trade_id) & 2047 AS lock
    FROM unnest(CAST(:bots AS text[]), CAST(:trade_ids AS text[])) AS t (bot, trade_id)
    ORDER BY lock
    OFFSET 0  -- keeps the order: the locks are taken one after another
) AS wanted
