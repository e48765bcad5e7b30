-- The setups of all events: from one to the next by the index, not through a hundred thousand rows.
WITH RECURSIVE setups AS (
    (
        SELECT module, pattern_key, action_category
        FROM pattern_trade_events
        ORDER BY module, pattern_key, action_category
        LIMIT 1
    )
    UNION ALL
    SELECT next.module, next.pattern_key, next.action_category
    FROM setups AS s
    CROSS JOIN LATERAL (
        SELECT e.module, e.pattern_key, e.action_category
        FROM pattern_trade_events AS e
        WHERE (e.module, e.pattern_key, e.action_category)
            > (s.module, s.pattern_key, s.action_category)
        ORDER BY e.module, e.pattern_key, e.action_category
        LIMIT 1
    ) AS next
)
SELECT module, pattern_key, action_category
FROM setups
ORDER BY module, pattern_key, action_category
