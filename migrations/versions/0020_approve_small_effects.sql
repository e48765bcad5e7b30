-- The setting that approves small effects without a person: it decides by the name "auto", which
-- nobody else may use, by the rules that hold for people and by some more.

CREATE OR REPLACE FUNCTION require_decider(p_actor text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    IF coalesce(btrim(p_actor), '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'EK106', MESSAGE = 'a decision needs the name of who decides';
    END IF;
    IF btrim(p_actor) = 'auto' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK101',
            MESSAGE = '''auto'' is the setting that approves small effects: nobody decides by its name';
    END IF;
    IF NOT EXISTS (SELECT FROM people) THEN
        RETURN;  -- single user: who reaches the database decides
    END IF;
    IF NOT EXISTS (
        SELECT FROM people WHERE name = p_actor AND role IN ('approver', 'admin')
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK101',
            MESSAGE = format('%L may not decide: this takes the role approver or admin', p_actor);
    END IF;
END
$$;

CREATE FUNCTION decided(
    p_lesson learning_lessons, p_decision text, p_actor text, p_reason text, p_token uuid,
    p_source text, p_approvals_required integer
) RETURNS lesson_decisions
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    written lesson_decisions;
    next_status text;
    n_people integer := 1;
BEGIN
    next_status := CASE
        WHEN p_decision = 'approve' AND p_lesson.status IN ('proposed', 'disabled') THEN 'active'
        WHEN p_decision = 'reject' AND p_lesson.status = 'proposed' THEN 'rejected'
        WHEN p_decision = 'disable' AND p_lesson.status = 'active' THEN 'disabled'
        WHEN p_decision = 'renew' AND p_lesson.status = 'active' THEN 'active'
    END;
    IF next_status IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK103',
            MESSAGE = format(
                'lesson %s is %s: %s is not possible', p_lesson.id, p_lesson.status, p_decision
            );
    END IF;
    IF p_decision = 'approve' THEN
        PERFORM require_analysed_outcome(p_lesson);
        PERFORM require_clear_interval(p_lesson);
        -- a caller may ask for more people than the database, never for fewer
        SELECT greatest(p_approvals_required, approvals_required) INTO STRICT n_people
        FROM edgekeeper_state;
        IF NOT activates(p_lesson, p_actor, n_people) THEN
            next_status := p_lesson.status;
        END IF;
    END IF;
    written := append_decision(
        p_lesson, p_decision, p_lesson.status, next_status, p_actor, p_reason, p_source, p_token,
        n_people
    );
    PERFORM carry_out(p_lesson, p_decision, next_status, p_actor, p_reason);
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
    first lesson_decisions;
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
    RETURN decided(
        lesson_as_seen(p_lesson_id, p_version, p_status), p_decision, p_actor, p_reason, p_token,
        p_source, p_approvals_required
    );
END
$$;

CREATE FUNCTION effect_distance(p_effect jsonb) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH levers AS (
        SELECT key, value FROM jsonb_each(coalesce(p_effect -> 'capital_levers', '{}'))
        UNION ALL
        SELECT key, value FROM jsonb_each(
            coalesce(p_effect -> 'execution_levers', '{}') - 'phase_scaling' - 'signal_thresholds'
        )
        UNION ALL
        SELECT key, value FROM jsonb_each(
            coalesce(p_effect #> '{execution_levers,phase_scaling}', '{}')
        )
    )
    SELECT CASE
        WHEN coalesce(p_effect #> '{execution_levers,signal_thresholds}', '{}') = '{}' THEN (
            SELECT max(abs(
                (value #>> '{}')::numeric
                - CASE WHEN key IN ('entry_delay_bars', 'wait_n_bars_after_trim') THEN 0 ELSE 1 END
            ))
            FROM levers
        )
    END
$$;
COMMENT ON FUNCTION effect_distance IS
    'How far the furthest lever of an effect is from neutral; NULL where it has none, or a '
    'threshold, whose neutral is the bot''s own value.';

CREATE FUNCTION is_small_proposal(p_lesson learning_lessons, p_max_effect numeric)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
    SELECT coalesce(
        p_lesson.status = 'proposed'
        AND p_lesson.confirmation <> 'failed'
        AND effect_distance(p_lesson.effect) <= p_max_effect
        AND (
            p_lesson.lesson_type = 'level'
            OR p_lesson.outcome = (SELECT s.outcome FROM edgekeeper_state AS s)
        )
        AND CASE
            WHEN jsonb_typeof(p_lesson.stats -> 'ci_low_rr') = 'number'
                AND jsonb_typeof(p_lesson.stats -> 'ci_high_rr') = 'number'
            THEN (p_lesson.stats ->> 'ci_low_rr')::numeric > 0
                OR (p_lesson.stats ->> 'ci_high_rr')::numeric < 0
        END
        -- what a person or a restored backup sent back waits for a person
        AND (
            SELECT d.source = 'job' AND d.decided_by = 'mine_lessons'
            FROM lesson_decisions AS d
            WHERE d.lesson_id = p_lesson.id ORDER BY d.id DESC LIMIT 1
        )
        AND NOT EXISTS (
            SELECT FROM lesson_decisions AS d
            WHERE d.lesson_id = p_lesson.id AND d.decision IN ('reject', 'disable')
        ),
        false
    )
$$;

CREATE FUNCTION auto_approve_lessons(
    p_module text, p_max_effect double precision, p_approvals_required integer
) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    lesson learning_lessons;
    said constant text := format(
        'every lever is within %s of neutral: approved by the setting, by no person', p_max_effect
    );
BEGIN
    IF (p_max_effect BETWEEN 0 AND 0.1) IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106',
            MESSAGE = format('auto_approve_max_effect must be 0 to 0.1, got %s', p_max_effect);
    END IF;
    PERFORM check_decision_arguments(
        'approve', said, gen_random_uuid(), 'job', p_approvals_required
    );
    PERFORM lock_decisions();
    IF p_max_effect = 0 OR p_approvals_required > 1
        OR (SELECT approvals_required > 1 FROM edgekeeper_state) THEN
        RETURN;  -- where two people are needed no setting is one of them
    END IF;
    FOR lesson IN
        SELECT l.* FROM learning_lessons AS l
        WHERE l.module = p_module AND l.status = 'proposed'
            AND is_small_proposal(l, p_max_effect::numeric)
        ORDER BY l.id FOR UPDATE
    LOOP
        PERFORM decided(lesson, 'approve', 'auto', said, gen_random_uuid(), 'job', 1);
        RETURN NEXT lesson.id;
    END LOOP;
END
$$;
COMMENT ON FUNCTION auto_approve_lessons IS
    'Approve the proposals of a module of which every lever is within the bound of neutral, as '
    '"auto"; returns which. Never where two people are needed, nor what a person ever rejected, '
    'disabled or sent back.';

CREATE FUNCTION outgrown_lessons(p_module text, p_max_effect double precision)
RETURNS SETOF bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
    SELECT l.id
    FROM learning_lessons AS l
    CROSS JOIN LATERAL (
        SELECT d.decided_by, d.evidence FROM lesson_decisions AS d
        WHERE d.lesson_id = l.id AND d.decision IN ('approve', 'renew')
        ORDER BY d.id DESC LIMIT 1
    ) AS approved
    WHERE l.module = p_module AND l.status = 'active' AND approved.decided_by = 'auto'
        AND effect_distance(l.effect)
            > greatest(p_max_effect::numeric, effect_distance(approved.evidence -> 'effect'))
    ORDER BY l.id
$$;
COMMENT ON FUNCTION outgrown_lessons IS
    'Active lessons that no person approved and whose effect is beyond the bound by now, and beyond '
    'what was approved.';

REVOKE ALL ON FUNCTION
    decided(learning_lessons, text, text, text, uuid, text, integer),
    is_small_proposal(learning_lessons, numeric),
    auto_approve_lessons(text, double precision, integer)
FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'edgekeeper_worker') THEN
        GRANT EXECUTE ON FUNCTION auto_approve_lessons(text, double precision, integer)
            TO edgekeeper_worker;
    END IF;
END
$$;
