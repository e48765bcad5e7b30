-- The inbox: a strand that is sent twice is one strand, and nothing in it is ever changed.

-- The plan of the look by key is kept for a session: made while the table was empty, it would
-- scan, and a first import of many strands would take hours.
CREATE FUNCTION receive_strand() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    known_hash bytea;
BEGIN
    NEW.content_hash := sha256(
        convert_to(
            jsonb_build_array(
                NEW.kind, NEW.module, NEW.bot, NEW.origin, NEW.position_id,
                NEW.trade_id, NEW.content, NEW.regime_context
            )::text,
            'UTF8'
        ) || coalesce(NEW.raw, ''::bytea)
    );
    NEW.conflicts_with := NULL;
    SELECT content_hash INTO known_hash FROM ad_strands WHERE strand_key = NEW.strand_key;
    IF FOUND THEN
        IF known_hash = NEW.content_hash THEN
            RETURN NULL;
        END IF;
        NEW.conflicts_with := NEW.strand_key;
        -- the key follows from both, so that a conflict that is sent again is stored once too
        NEW.strand_key := md5(NEW.strand_key::text || encode(NEW.content_hash, 'hex'))::uuid;
        IF EXISTS (SELECT FROM ad_strands WHERE strand_key = NEW.strand_key) THEN
            RETURN NULL;
        END IF;
    END IF;
    IF NEW.kind = 'position_closed' THEN
        PERFORM pg_notify('edgekeeper_strands', '');  -- equal ones of a transaction are sent once
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION receive_strand IS
    'Same key, same content: skipped. Same key, other content: kept as a conflict under a key of '
    'its own. Both also hold within one COPY.';

CREATE TRIGGER receive_strand BEFORE INSERT ON ad_strands
    FOR EACH ROW EXECUTE FUNCTION receive_strand();

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

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'EK001',
        MESSAGE = format('%s is append-only: %s refused', TG_TABLE_NAME, TG_OP);
END
$$;

-- Enabled ALWAYS: session_replication_role = replica does not get round it.
DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY[
        'ad_strands', 'kill_switch_history', 'lesson_decisions', 'lesson_versions',
        'mining_runs', 'override_applications', 'override_history'
    ] LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', guarded
        );
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only', guarded);
    END LOOP;
END
$$;
