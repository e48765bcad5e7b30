-- An action of another origin was no part of a trade, only of its namesake; what is left of the
-- trade is numbered from 0 again.
DELETE FROM pattern_trade_events AS e
USING ad_strands AS s
WHERE s.id = e.action_strand_id AND s.origin <> e.origin;

UPDATE pattern_trade_events AS e
SET seq = n.seq
FROM (
    SELECT id, row_number() OVER (
        PARTITION BY strand_id, pattern_key, action_category ORDER BY seq
    ) - 1 AS seq
    FROM pattern_trade_events
) AS n
WHERE n.id = e.id AND n.seq <> e.seq;

-- What candles told is of the close that stood.
ALTER TABLE trade_contexts ADD COLUMN origin text, ADD COLUMN position_id text;

UPDATE trade_contexts AS c
SET origin = s.origin, position_id = coalesce(s.position_id, '')
FROM (
    SELECT DISTINCT ON (s.bot, s.trade_id) s.bot, s.trade_id, s.origin, s.position_id
    FROM ad_strands AS s
    LEFT JOIN strand_ledger AS l ON l.strand_id = s.id
    WHERE s.kind = 'position_closed' AND coalesce(l.status, 'ingested') = 'ingested'
    ORDER BY s.bot, s.trade_id, s.id
) AS s
WHERE s.bot = c.bot AND s.trade_id = c.trade_id;

DELETE FROM trade_contexts WHERE origin IS NULL;

ALTER TABLE trade_contexts
    ALTER COLUMN origin SET NOT NULL,
    ALTER COLUMN position_id SET NOT NULL,
    DROP CONSTRAINT pk_trade_contexts,
    ADD CONSTRAINT pk_trade_contexts PRIMARY KEY (bot, trade_id, origin, position_id);

COMMENT ON COLUMN trade_contexts.position_id IS 'empty where it has but one';

DROP FUNCTION actions_of_trade(text, text);

CREATE FUNCTION actions_of_trade(p_bot text, p_trade_id text)
RETURNS TABLE (
    strand_key uuid, kind text, origin text, position_id text, content jsonb,
    created_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
    SELECT s.strand_key, s.kind, s.origin, s.position_id, s.content, s.created_at
    FROM ad_strands AS s
    WHERE s.bot = p_bot
        AND s.trade_id = p_trade_id
        AND s.kind IN ('pm_action', 'dm_action')
        AND s.content IS NOT NULL
        AND s.conflicts_with IS NULL
    ORDER BY s.id
$$;
COMMENT ON FUNCTION actions_of_trade IS
    'The actions of one trade, for the bot that closes it and may not read the inbox otherwise.';

REVOKE ALL ON FUNCTION actions_of_trade(text, text) FROM PUBLIC;

DO $$
DECLARE
    allowed text;
BEGIN
    FOREACH allowed IN ARRAY ARRAY[
        'edgekeeper_bot', 'edgekeeper_worker', 'edgekeeper_dashboard', 'edgekeeper_approver'
    ] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = allowed) THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION actions_of_trade(text, text) TO %I', allowed);
        END IF;
    END LOOP;
END
$$;
