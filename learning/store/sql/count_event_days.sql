-- Trades, first entries and provenances of some days (UTC) by bot and origin, from the events.
WITH trades AS (
    SELECT
        d.day,
        e.bot,
        e.origin,
        bool_or(e.r_multiple_net IS NULL) AS without_r_multiple_net,
        bool_or(e.r_multiple IS NULL) AS without_r_multiple,
        bool_or(e.rr_path IS NULL) AS without_rr_path,
        count(*) FILTER (WHERE e.seq = 0 AND e.action_category = 'entry') AS entries,
        count(*) FILTER (WHERE e.provenance = 'action_strand') AS action_strand,
        count(*) FILTER (WHERE e.provenance = 'own_fields') AS own_fields,
        count(*) FILTER (WHERE e.provenance = 'reconstructed') AS reconstructed
    FROM unnest(CAST(:days AS date[])) AS d (day)
    JOIN pattern_trade_events AS e
        ON e.closed_at >= d.day::timestamp AT TIME ZONE 'UTC'
        AND e.closed_at < (d.day + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY d.day, e.bot, e.origin, e.strand_id
)
SELECT
    day,
    bot,
    origin,
    count(*) AS n_trades,
    count(*) FILTER (WHERE without_r_multiple_net) AS n_without_r_multiple_net,
    count(*) FILTER (WHERE without_r_multiple) AS n_without_r_multiple,
    count(*) FILTER (WHERE without_rr_path) AS n_without_rr_path,
    sum(entries) AS n_entries,
    sum(action_strand) AS n_action_strand,
    sum(own_fields) AS n_own_fields,
    sum(reconstructed) AS n_reconstructed,
    CAST(:dims AS text[]) AS dimensions
FROM trades
GROUP BY day, bot, origin
