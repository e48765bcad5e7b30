-- Written by the transaction that writes the events, so both are seen at once, however late it
-- commits. Rows are only appended, never shared: no writer waits for another.

CREATE FUNCTION note_changed_groups() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO scope_group_changes
        SELECT DISTINCT module, pattern_key, action_category FROM old_rows;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO scope_group_changes
        SELECT DISTINCT module, pattern_key, action_category FROM new_rows;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_changed_groups IS
    'Tell the groups of the events that a statement wrote or deleted.';

CREATE TRIGGER note_changed_groups_insert AFTER INSERT ON pattern_trade_events
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_groups();
CREATE TRIGGER note_changed_groups_update AFTER UPDATE ON pattern_trade_events
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_groups();
CREATE TRIGGER note_changed_groups_delete AFTER DELETE ON pattern_trade_events
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_groups();

-- what waits for its first statistics, or for new ones, is found once more
INSERT INTO scope_group_changes
SELECT DISTINCT module, pattern_key, action_category FROM pattern_trade_events;

DO $$
DECLARE
    allowed record;
BEGIN
    FOR allowed IN SELECT * FROM (VALUES
        ('edgekeeper_worker', 'SELECT, INSERT, DELETE'),
        ('edgekeeper_dashboard', 'SELECT'),
        ('edgekeeper_approver', 'SELECT')
    ) AS r (role_name, rights) LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = allowed.role_name) THEN
            EXECUTE format(
                'GRANT %s ON scope_group_changes TO %I', allowed.rights, allowed.role_name
            );
        END IF;
    END LOOP;
END
$$;
