-- Who may import: whoever may decide. The same rule, asked by the table itself, so that no page,
-- command or script gets round it. SQLSTATE EK101 as there: not allowed.

CREATE FUNCTION require_importer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM people) AND NOT EXISTS (
        SELECT FROM people WHERE name = NEW.imported_by AND role IN ('approver', 'admin')
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK101',
            MESSAGE = format(
                '%L may not import: this takes the role approver or admin', NEW.imported_by
            );
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION require_importer IS
    'Refuse an import by a person who is listed as viewer, or not listed where others are.';
REVOKE ALL ON FUNCTION require_importer() FROM PUBLIC;

CREATE TRIGGER require_importer BEFORE INSERT ON import_batches
    FOR EACH ROW EXECUTE FUNCTION require_importer();

DO $$
DECLARE
    allowed record;
BEGIN
    FOR allowed IN SELECT * FROM (VALUES
        ('edgekeeper_worker', 'SELECT, INSERT, UPDATE, DELETE', 'trade_contexts'),
        ('edgekeeper_worker', 'SELECT, INSERT, UPDATE', 'import_mappings'),
        ('edgekeeper_dashboard', 'SELECT', 'trade_contexts'),
        ('edgekeeper_dashboard', 'SELECT', 'import_mappings'),
        ('edgekeeper_approver', 'SELECT', 'trade_contexts'),
        ('edgekeeper_approver', 'SELECT, INSERT, UPDATE', 'import_mappings'),
        ('edgekeeper_approver', 'INSERT', 'import_batches'),
        ('edgekeeper_approver',
         'INSERT (strand_key, kind, module, bot, origin, position_id, trade_id, content, '
         'regime_context, raw, import_batch_id)', 'ad_strands'),
        ('edgekeeper_approver', 'UPDATE (data_version)', 'edgekeeper_state')
    ) AS r (role_name, rights, target) LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = allowed.role_name) THEN
            EXECUTE format(
                'GRANT %s ON %I TO %I', allowed.rights, allowed.target, allowed.role_name
            );
        END IF;
    END LOOP;
END
$$;
