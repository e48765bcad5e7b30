-- Of namesakes, and of the positions of a trade, the first close stands again.
DELETE FROM pattern_trade_events AS e
USING pattern_trade_events AS first
WHERE (first.bot, first.trade_id) = (e.bot, e.trade_id) AND first.strand_id < e.strand_id;

DELETE FROM trade_contexts AS c
USING trade_contexts AS other
WHERE (other.bot, other.trade_id) = (c.bot, c.trade_id)
    AND (other.origin, other.position_id) < (c.origin, c.position_id);

ALTER TABLE trade_contexts
    DROP CONSTRAINT pk_trade_contexts,
    DROP COLUMN origin,
    DROP COLUMN position_id,
    ADD CONSTRAINT pk_trade_contexts PRIMARY KEY (bot, trade_id);

DROP FUNCTION actions_of_trade(text, text);

CREATE FUNCTION actions_of_trade(p_bot text, p_trade_id text)
RETURNS TABLE (
    strand_key uuid, kind text, position_id text, content jsonb, created_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
    SELECT s.strand_key, s.kind, s.position_id, s.content, s.created_at
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
