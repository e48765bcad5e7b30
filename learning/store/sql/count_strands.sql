-- Every strand is ingested, quarantined, ignored or pending: counted apart, so that it can fail.
SELECT
    (SELECT count(*) FROM ad_strands) AS strands,
    (SELECT count(*) FROM strand_ledger WHERE status = 'ingested') AS ingested,
    (SELECT count(*) FROM strand_ledger WHERE status = 'quarantined') AS quarantined,
    (SELECT count(*) FROM strand_ledger WHERE status = 'ignored') AS ignored,
    (
        SELECT count(*)
        FROM ad_strands AS s
        WHERE NOT EXISTS (SELECT FROM strand_ledger AS l WHERE l.strand_id = s.id)
    ) AS pending
