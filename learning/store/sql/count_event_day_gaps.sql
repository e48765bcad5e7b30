-- What the first entries of some days (UTC) lack, by bot and field, and what candles filled.
WITH entries AS (
    SELECT d.day, e.*
    FROM unnest(CAST(:days AS date[])) AS d (day)
    JOIN pattern_trade_events AS e
        ON e.closed_at >= d.day::timestamp AT TIME ZONE 'UTC'
        AND e.closed_at < (d.day + 1)::timestamp AT TIME ZONE 'UTC'
    WHERE e.seq = 0 AND e.action_category = 'entry'
),
wide AS (
    SELECT
        day,
        bot,
        count(*) FILTER (WHERE symbol IS NULL) AS symbol,
        count(*) FILTER (WHERE side IS NULL) AS side,
        count(*) FILTER (WHERE r_multiple_net IS NULL) AS r_multiple_net,
        count(*) FILTER (WHERE r_multiple IS NULL) AS r_multiple,
        count(*) FILTER (WHERE rr_path IS NULL) AS rr_path,
        count(*) FILTER (WHERE return_pct IS NULL) AS return_pct,
        count(*) FILTER (WHERE mfe_r IS NULL) AS mfe_r,
        count(*) FILTER (WHERE mae_r IS NULL) AS mae_r,
        count(*) FILTER (WHERE missed_entry_rr IS NULL) AS missed_entry_rr,
        count(*) FILTER (WHERE missed_exit_rr IS NULL) AS missed_exit_rr,
        count(*) FILTER (WHERE pnl_amount IS NULL) AS pnl_amount
    FROM entries
    GROUP BY day, bot
),
missing AS (
    SELECT w.day, w.bot, f.field, f.n
    FROM wide AS w
    CROSS JOIN LATERAL (VALUES
        ('symbol', w.symbol),
        ('side', w.side),
        ('r_multiple_net', w.r_multiple_net),
        ('r_multiple', w.r_multiple),
        ('rr_path', w.rr_path),
        ('return_pct', w.return_pct),
        ('mfe_r', w.mfe_r),
        ('mae_r', w.mae_r),
        ('missed_entry_rr', w.missed_entry_rr),
        ('missed_exit_rr', w.missed_exit_rr),
        ('pnl_amount', w.pnl_amount)
    ) AS f (field, n)
    WHERE f.n > 0
),
filled AS (
    SELECT day, bot, field, count(*) AS n
    FROM entries
    CROSS JOIN LATERAL unnest(filled) AS field
    GROUP BY day, bot, field
)
SELECT
    day,
    bot,
    field,
    coalesce(m.n, 0) AS n_missing,
    coalesce(f.n, 0) AS n_filled
FROM missing AS m
FULL JOIN filled AS f USING (day, bot, field)
