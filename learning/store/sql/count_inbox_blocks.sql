-- The strands of some blocks of 8192 ids, and what became of them.
SELECT
    b.block,
    count(*) AS strands,
    count(*) FILTER (WHERE l.status = 'ingested') AS ingested,
    count(*) FILTER (WHERE l.status = 'quarantined') AS quarantined,
    count(*) FILTER (WHERE l.status = 'ignored') AS ignored
FROM unnest(CAST(:blocks AS bigint[])) AS b (block)
JOIN ad_strands AS s ON s.id >= b.block * 8192 AND s.id < (b.block + 1) * 8192
LEFT JOIN strand_ledger AS l
    ON l.strand_id = s.id AND l.strand_id >= b.block * 8192 AND l.strand_id < (b.block + 1) * 8192
GROUP BY b.block
