-- Written by the transaction that writes strands or ledger rows, so both are seen at once, however
-- late it commits. Whoever may write those may not write here: the function does it for its owner.

CREATE FUNCTION note_changed_blocks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    IF TG_TABLE_NAME = 'ad_strands' THEN
        INSERT INTO inbox_block_changes SELECT DISTINCT id / 8192 FROM changed_rows;
    ELSE
        INSERT INTO inbox_block_changes SELECT DISTINCT strand_id / 8192 FROM changed_rows;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_changed_blocks IS
    'Tell the blocks of 8192 ids whose strands arrived or were decided.';
REVOKE EXECUTE ON FUNCTION note_changed_blocks() FROM PUBLIC;

CREATE TRIGGER note_changed_blocks_insert AFTER INSERT ON ad_strands
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_blocks();
CREATE TRIGGER note_changed_blocks_insert AFTER INSERT ON strand_ledger
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_blocks();
CREATE TRIGGER note_changed_blocks_update AFTER UPDATE ON strand_ledger
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_blocks();
CREATE TRIGGER note_changed_blocks_delete AFTER DELETE ON strand_ledger
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_blocks();

-- what is there already is counted by the next run that looks at the inbox
INSERT INTO inbox_block_changes SELECT DISTINCT id / 8192 FROM ad_strands;

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
                'GRANT %s ON inbox_block_changes, inbox_block_counts TO %I',
                allowed.rights, allowed.role_name
            );
        END IF;
    END LOOP;
END
$$;
