-- Written by the transaction that writes the events, so both are seen at once, however late it
-- commits. Rows are only appended, never shared: no writer waits for another.

CREATE FUNCTION note_changed_days() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO event_day_changes
        SELECT DISTINCT (closed_at AT TIME ZONE 'UTC')::date FROM old_rows;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO event_day_changes
        SELECT DISTINCT (closed_at AT TIME ZONE 'UTC')::date FROM new_rows;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_changed_days IS
    'Tell the days of the closes whose events a statement wrote or deleted.';

CREATE TRIGGER note_changed_days_insert AFTER INSERT ON pattern_trade_events
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_days();
CREATE TRIGGER note_changed_days_update AFTER UPDATE ON pattern_trade_events
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_days();
CREATE TRIGGER note_changed_days_delete AFTER DELETE ON pattern_trade_events
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_days();

-- what is there already is counted by the next sweep of the inbox; until then, as it is read
INSERT INTO event_day_changes
SELECT DISTINCT (closed_at AT TIME ZONE 'UTC')::date FROM pattern_trade_events;

DO $$
DECLARE
    allowed record;
    counted text;
BEGIN
    FOR allowed IN SELECT * FROM (VALUES
        ('edgekeeper_worker', 'SELECT, INSERT, DELETE'),
        ('edgekeeper_dashboard', 'SELECT'),
        ('edgekeeper_approver', 'SELECT')
    ) AS r (role_name, rights) LOOP
        FOREACH counted IN ARRAY ARRAY[
            'event_day_changes', 'event_day_counts', 'event_day_levels', 'event_day_gaps'
        ] LOOP
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = allowed.role_name) THEN
                EXECUTE format(
                    'GRANT %s ON %I TO %I', allowed.rights, counted, allowed.role_name
                );
            END IF;
        END LOOP;
    END LOOP;
END
$$;
