-- Lock the trades of the first quarantined strands that nobody else works on; name the strands.
SELECT id
FROM (
    SELECT s.id, s.bot, s.trade_id
    FROM strand_ledger AS l
    JOIN ad_strands AS s ON s.id = l.strand_id
    WHERE l.status = 'quarantined' AND l.strand_id > :after
    ORDER BY s.id
    OFFSET 0
) AS quarantined
WHERE pg_try_advisory_xact_lock(
    1162300233, hashtext(bot || '/' || coalesce(trade_id, id::text)) & 2047
)
LIMIT :limit
