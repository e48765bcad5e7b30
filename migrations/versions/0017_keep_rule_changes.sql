-- What holds of every approval is changed on record: who changed it, when, why, from what to what.

DO $$
BEGIN
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rule_changes
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
    ALTER TABLE rule_changes ENABLE ALWAYS TRIGGER append_only;
END
$$;

-- ------------------------------------------------------------------ how many approve
CREATE FUNCTION approvers_so_far(p_lesson learning_lessons) RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
    -- approvals of this version since anything else was decided on the lesson
    SELECT coalesce(array_agg(DISTINCT d.decided_by), '{}')
    FROM lesson_decisions AS d
    WHERE d.lesson_id = p_lesson.id
        AND d.lesson_version = p_lesson.version
        AND d.decision = 'approve'
        AND d.to_status = p_lesson.status
        AND d.id > coalesce((
            SELECT max(o.id)
            FROM lesson_decisions AS o
            WHERE o.lesson_id = p_lesson.id
                AND (o.decision <> 'approve' OR o.to_status <> o.from_status)
        ), 0)
$$;

CREATE OR REPLACE FUNCTION activates(
    p_lesson learning_lessons, p_actor text, p_approvals_required integer
) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    earlier text[];
BEGIN
    IF p_approvals_required = 1 THEN
        RETURN true;
    END IF;
    earlier := approvers_so_far(p_lesson);
    IF p_actor = ANY (earlier) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK105',
            MESSAGE = format(
                '%L has approved lesson %s already: it takes a second person',
                p_actor, p_lesson.id
            );
    END IF;
    RETURN cardinality(earlier) + 1 >= p_approvals_required;
END
$$;

CREATE FUNCTION require_may_lower(p_actor text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    waiting bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM people) THEN
        RETURN;  -- single user: who reaches the database decides
    END IF;
    IF NOT EXISTS (SELECT FROM people WHERE name = p_actor AND role = 'admin') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK101',
            MESSAGE = format('%L may not lower it: this takes the role admin', p_actor);
    END IF;
    SELECT min(l.id) INTO waiting
    FROM learning_lessons AS l
    WHERE l.status IN ('proposed', 'disabled') AND p_actor = ANY (approvers_so_far(l));
    IF waiting IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK105',
            MESSAGE = format(
                '%L has approved lesson %s, which waits for a second person: another admin lowers '
                'it, or that lesson is decided first', p_actor, waiting
            );
    END IF;
END
$$;
COMMENT ON FUNCTION require_may_lower IS
    'Nobody takes away the second person that their own approval waits for.';

CREATE OR REPLACE FUNCTION set_approvals_required(
    p_number integer, p_actor text, p_reason text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    before integer;
BEGIN
    IF p_number IS NULL OR p_number NOT IN (1, 2) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106',
            MESSAGE = format('approvals_required must be 1 or 2, got %s', p_number);
    END IF;
    PERFORM require_reason(p_reason);
    PERFORM require_decider(p_actor);
    PERFORM lock_decisions();
    SELECT approvals_required INTO STRICT before FROM edgekeeper_state FOR UPDATE;
    IF before = p_number THEN
        RETURN false;
    END IF;
    IF p_number < before THEN
        PERFORM require_may_lower(p_actor);
    END IF;
    UPDATE edgekeeper_state SET
        approvals_required = p_number,
        approvals_set_by = p_actor,
        approvals_set_at = clock_timestamp(),
        approvals_reason = p_reason,
        data_version = data_version + 1;
    INSERT INTO rule_changes (rule, value_before, value_after, reason, changed_by, changed_at)
    VALUES (
        'approvals_required', before::text, p_number::text, p_reason, p_actor, clock_timestamp()
    );
    RETURN true;
END
$$;

-- ------------------------------------------------------------------ decisions say how many
DROP FUNCTION append_decision(learning_lessons, text, text, text, text, text, text, uuid);

CREATE FUNCTION append_decision(
    p_lesson learning_lessons, p_decision text, p_from text, p_to text, p_actor text,
    p_reason text, p_source text, p_token uuid, p_people_needed integer DEFAULT NULL
) RETURNS lesson_decisions
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    written lesson_decisions;
BEGIN
    INSERT INTO lesson_decisions (
        lesson_id, lesson_version, decision, from_status, to_status, decided_by, reason, source,
        decision_token, evidence, previous_hash, row_hash
    ) VALUES (
        p_lesson.id, p_lesson.version, p_decision, p_from, p_to, p_actor, p_reason, p_source,
        p_token,
        jsonb_build_object(
            'n', p_lesson.n,
            'outcome', p_lesson.outcome,
            'scope_values', p_lesson.scope_values,
            'stats', p_lesson.stats,
            'effect', p_lesson.effect,
            'lesson_strength', p_lesson.lesson_strength,
            'decay_halflife_hours', p_lesson.decay_halflife_hours,
            'confirmation', p_lesson.confirmation,
            'mining_run_id', p_lesson.mining_run_id
        ) || CASE
            WHEN p_people_needed IS NULL THEN '{}'
            ELSE jsonb_build_object('people_needed', p_people_needed)
        END,
        '', ''
    )
    RETURNING * INTO written;
    RETURN written;
END
$$;

CREATE OR REPLACE FUNCTION decide_lesson(
    p_lesson_id bigint, p_version integer, p_status text, p_decision text, p_actor text,
    p_reason text, p_token uuid, p_source text, p_approvals_required integer
) RETURNS lesson_decisions
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    lesson learning_lessons;
    first lesson_decisions;
    next_status text;
    n_people integer := 1;
BEGIN
    PERFORM check_decision_arguments(
        p_decision, p_reason, p_token, p_source, p_approvals_required
    );
    PERFORM require_decider(p_actor);
    PERFORM lock_decisions();
    first := decided_before(p_token, p_lesson_id, p_version, p_decision, p_actor);
    IF first.id IS NOT NULL THEN
        RETURN first;
    END IF;
    lesson := lesson_as_seen(p_lesson_id, p_version, p_status);
    next_status := CASE
        WHEN p_decision = 'approve' AND lesson.status IN ('proposed', 'disabled') THEN 'active'
        WHEN p_decision = 'reject' AND lesson.status = 'proposed' THEN 'rejected'
        WHEN p_decision = 'disable' AND lesson.status = 'active' THEN 'disabled'
        WHEN p_decision = 'renew' AND lesson.status = 'active' THEN 'active'
    END;
    IF next_status IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK103',
            MESSAGE = format(
                'lesson %s is %s: %s is not possible', lesson.id, lesson.status, p_decision
            );
    END IF;
    IF p_decision = 'approve' THEN
        PERFORM require_analysed_outcome(lesson);
        PERFORM require_clear_interval(lesson);
        -- a caller may ask for more people than the database, never for fewer
        SELECT greatest(p_approvals_required, approvals_required) INTO STRICT n_people
        FROM edgekeeper_state;
        IF NOT activates(lesson, p_actor, n_people) THEN
            next_status := lesson.status;
        END IF;
    END IF;
    first := append_decision(
        lesson, p_decision, lesson.status, next_status, p_actor, p_reason, p_source, p_token,
        n_people
    );
    PERFORM carry_out(lesson, p_decision, next_status, p_actor, p_reason);
    RETURN first;
END
$$;

-- ------------------------------------------------------------------ feature flags
CREATE FUNCTION set_feature_flag(
    p_name text, p_enabled boolean, p_actor text, p_reason text DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    state edgekeeper_state;
    was boolean;
BEGIN
    IF p_enabled IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EK106', MESSAGE = 'a feature flag is on or off, got NULL';
    END IF;
    PERFORM require_decider(p_actor);
    IF p_enabled THEN
        PERFORM require_reason(p_reason);
    END IF;
    -- who materialises holds this row while it reads the flags: it writes no older ones after us
    SELECT * INTO STRICT state FROM edgekeeper_state FOR UPDATE;
    SELECT enabled INTO was FROM feature_flags WHERE name = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106', MESSAGE = format('there is no feature flag %L', p_name);
    END IF;
    IF was = p_enabled THEN
        RETURN false;
    END IF;
    UPDATE feature_flags
    SET enabled = p_enabled, changed_by = p_actor, changed_at = clock_timestamp()
    WHERE name = p_name;
    INSERT INTO rule_changes (rule, value_before, value_after, reason, changed_by, changed_at)
    VALUES (
        p_name, CASE WHEN was THEN 'on' ELSE 'off' END, CASE WHEN p_enabled THEN 'on' ELSE 'off' END,
        -- switching off never fails for want of words
        coalesce(nullif(btrim(p_reason), ''), 'switched off without a word'), p_actor,
        clock_timestamp()
    );
    UPDATE edgekeeper_state
    SET revision = revision + 1, data_version = data_version + 1
    RETURNING * INTO STRICT state;
    UPDATE learning_configs SET
        config_data = config_data || jsonb_build_object(
            'generation', state.generation,
            'revision', state.revision,
            'feature_flags',
            coalesce(config_data -> 'feature_flags', '{}') || jsonb_build_object(p_name, p_enabled)
        ),
        version = state.revision,
        generation = state.generation,
        updated_at = now();
    PERFORM pg_notify('edgekeeper_overrides', '');
    RETURN true;
END
$$;
COMMENT ON FUNCTION set_feature_flag IS
    'Turn a feature flag where bots read it, without any job; on with a reason. False: it was so '
    'already, nothing changed.';

REVOKE ALL ON FUNCTION
    approvers_so_far(learning_lessons), require_may_lower(text),
    append_decision(learning_lessons, text, text, text, text, text, text, uuid, integer),
    set_feature_flag(text, boolean, text, text)
FROM PUBLIC;

DO $$
DECLARE
    allowed record;
BEGIN
    FOR allowed IN SELECT * FROM (VALUES
        ('edgekeeper_worker', 'SELECT ON rule_changes'),
        ('edgekeeper_dashboard', 'SELECT ON rule_changes'),
        ('edgekeeper_approver', 'SELECT ON rule_changes'),
        ('edgekeeper_approver', 'EXECUTE ON FUNCTION set_feature_flag(text, boolean, text, text)')
    ) AS r (role_name, rights) LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = allowed.role_name) THEN
            EXECUTE format('GRANT %s TO %I', allowed.rights, allowed.role_name);
        END IF;
    END LOOP;
END
$$;
