-- One ledger row per strand; a quarantined one may be decided again, a decided one never.
INSERT INTO strand_ledger (strand_id, status, reason)
SELECT *
FROM unnest(CAST(:ids AS bigint[]), CAST(:statuses AS text[]), CAST(:reasons AS text[]))
ON CONFLICT (strand_id) DO UPDATE
SET status = excluded.status,
    reason = excluded.reason,
    attempts = strand_ledger.attempts + 1,
    decided_at = now()
WHERE strand_ledger.status = 'quarantined'
