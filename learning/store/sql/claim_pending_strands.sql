-- Lock the trades of the first pending strands that nobody else works on, and name the strands.
-- The lock of a trade is one of 2048, so that no batch fills the server's table of locks.
SELECT id
FROM (
    SELECT s.id, s.bot, s.trade_id
    FROM ad_strands AS s
    WHERE s.id > :after
        AND NOT EXISTS (
            SELECT FROM strand_ledger AS l WHERE l.strand_id = s.id AND l.strand_id > :after
        )
    ORDER BY s.id
    OFFSET 0  -- keeps the lock out of the search: it is tried in order of id, until the limit
) AS pending
WHERE pg_try_advisory_xact_lock(
    1162300233, hashtext(bot || '/' || coalesce(trade_id, id::text)) & 2047
)
LIMIT :limit
