-- Who may decide is changed on record, as how many approve is: who is listed for a moment leaves a
-- trace.

CREATE OR REPLACE FUNCTION set_person(p_name text, p_role text, p_actor text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    before text;
BEGIN
    IF coalesce(btrim(p_name), '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'EK106', MESSAGE = 'a person needs a name';
    END IF;
    IF p_role IS NULL OR p_role NOT IN ('viewer', 'approver', 'admin') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106',
            MESSAGE = format('role must be viewer, approver or admin, got %L', p_role);
    END IF;
    PERFORM begin_change_of_people(p_actor);
    SELECT role INTO before FROM people WHERE name = btrim(p_name);
    INSERT INTO people (name, role) VALUES (btrim(p_name), p_role)
    ON CONFLICT (name) DO UPDATE SET role = excluded.role;
    PERFORM record_person(btrim(p_name), before, p_role, p_actor);
    PERFORM end_change_of_people();
END
$$;

CREATE OR REPLACE FUNCTION remove_person(p_name text, p_actor text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    before text;
BEGIN
    PERFORM begin_change_of_people(p_actor);
    DELETE FROM people WHERE name = btrim(p_name) RETURNING role INTO before;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106', MESSAGE = format('nobody is listed as %L', p_name);
    END IF;
    PERFORM record_person(btrim(p_name), before, NULL, p_actor);
    PERFORM end_change_of_people();
END
$$;

CREATE FUNCTION record_person(p_name text, p_before text, p_after text, p_actor text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
    INSERT INTO rule_changes (rule, value_before, value_after, reason, changed_by, changed_at)
    SELECT
        'role of ' || p_name, coalesce(p_before, 'nobody'), coalesce(p_after, 'nobody'),
        CASE
            WHEN p_before IS NULL THEN 'listed'
            WHEN p_after IS NULL THEN 'taken off the list'
            ELSE 'another role'
        END,
        p_actor, clock_timestamp()
    WHERE p_before IS DISTINCT FROM p_after
$$;

REVOKE ALL ON FUNCTION record_person(text, text, text, text) FROM PUBLIC;
