-- Decisions on lessons and on the kill switch: who may, from where to where, written for good.
-- SQLSTATEs: EK101 not allowed, EK102 changed meanwhile, EK103 not possible, EK104 interval,
-- EK105 same person twice, EK106 wrong argument, EK107 token used, EK108 no confirmation,
-- EK109 status or version written past the decisions.

-- ------------------------------------------------------------------ the chain
CREATE FUNCTION lock_decisions() RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
    SELECT FROM decision_chain_head FOR UPDATE
$$;
COMMENT ON FUNCTION lock_decisions IS
    'Take the lock that puts decisions in one order, until the transaction ends. Who writes '
    'lessons and then moves some of them takes it first, so that no two wait for each other.';

CREATE FUNCTION decision_hash(decision lesson_decisions) RETURNS bytea
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256(
        decision.previous_hash || convert_to(
            jsonb_build_array(
                decision.id, decision.lesson_id, decision.lesson_version, decision.decision,
                decision.from_status, decision.to_status, decision.decided_by,
                to_char(
                    decision.decided_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
                ),
                decision.reason, decision.source, decision.decision_token, decision.evidence
            )::text,
            'UTF8'
        )
    )
$$;

CREATE FUNCTION chain_decision() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    -- The head's lock serialises; ids without gaps make a removed row visible.
    SELECT last_id + 1, row_hash INTO STRICT NEW.id, NEW.previous_hash
    FROM decision_chain_head FOR UPDATE;
    NEW.decided_at := clock_timestamp();
    NEW.row_hash := decision_hash(NEW);
    UPDATE decision_chain_head SET last_id = NEW.id, row_hash = NEW.row_hash;
    RETURN NEW;
END
$$;

CREATE TRIGGER chain_decision BEFORE INSERT ON lesson_decisions
    FOR EACH ROW EXECUTE FUNCTION chain_decision();

CREATE FUNCTION verify_decision_chain() RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
    WITH chained AS (
        SELECT
            d.id,
            d.previous_hash = lag(d.row_hash, 1, decode(repeat('00', 32), 'hex')) OVER in_order
            AND d.row_hash = decision_hash(d)
            AND d.id = row_number() OVER in_order AS holds
        FROM lesson_decisions AS d
        WINDOW in_order AS (ORDER BY d.id)
    ), tail AS (
        SELECT coalesce(max(id), 0) AS last_id FROM lesson_decisions
    )
    SELECT coalesce(
        (SELECT min(id) FROM chained WHERE NOT holds),
        -- the head remembers what the table may have lost at its end
        (
            SELECT least(t.last_id, coalesce(h.last_id, 0)) + 1
            FROM tail AS t LEFT JOIN decision_chain_head AS h ON true
            WHERE h.last_id IS DISTINCT FROM t.last_id
        ),
        (
            SELECT d.id
            FROM lesson_decisions AS d JOIN decision_chain_head AS h ON h.last_id = d.id
            WHERE h.row_hash <> d.row_hash
        )
    )
$$;
COMMENT ON FUNCTION verify_decision_chain IS
    'The first decision that was edited, moved or removed; NULL where the chain holds.';

-- ------------------------------------------------------------------ parts of a decision
CREATE FUNCTION require_decider(p_actor text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    IF coalesce(btrim(p_actor), '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'EK106', MESSAGE = 'a decision needs the name of who decides';
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

CREATE FUNCTION append_decision(
    p_lesson learning_lessons, p_decision text, p_from text, p_to text, p_actor text,
    p_reason text, p_source text, p_token uuid
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
        ),
        '', ''
    )
    RETURNING * INTO written;
    RETURN written;
END
$$;

CREATE FUNCTION without_lesson(p_entries jsonb, p_lesson_id bigint) RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN jsonb_typeof(p_entries) = 'array' THEN (
            SELECT coalesce(jsonb_agg(entry ORDER BY place), '[]')
            FROM jsonb_array_elements(p_entries) WITH ORDINALITY AS e (entry, place)
            WHERE (entry #>> '{lesson,id}') IS DISTINCT FROM p_lesson_id::text
        )
        ELSE '[]'
    END
$$;

CREATE FUNCTION remove_override(p_lesson learning_lessons, p_reason text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    removed pm_overrides;
    state edgekeeper_state;
BEGIN
    UPDATE edgekeeper_state SET revision = revision + 1 RETURNING * INTO STRICT state;
    DELETE FROM pm_overrides WHERE lesson_id = p_lesson.id RETURNING * INTO removed;
    IF FOUND THEN
        INSERT INTO override_history (
            lesson_id, lesson_version, module, change, levers_before, epoch, reason, generation,
            revision
        ) VALUES (
            p_lesson.id, removed.lesson_version, removed.module, 'removed', flat_levers(removed),
            (now() AT TIME ZONE 'UTC')::date, p_reason, state.generation, state.revision
        );
    END IF;
    UPDATE learning_configs SET
        config_data = config_data || jsonb_build_object(
            'generation', state.generation,
            'revision', state.revision,
            'pattern_strength_overrides',
            without_lesson(config_data -> 'pattern_strength_overrides', p_lesson.id),
            'pattern_overrides',
            without_lesson(config_data -> 'pattern_overrides', p_lesson.id),
            'alloc_overrides',
            without_lesson(config_data -> 'alloc_overrides', p_lesson.id)
        ),
        version = state.revision,
        generation = state.generation,
        updated_at = now()
    WHERE module = p_lesson.module;
    PERFORM pg_notify('edgekeeper_overrides', '');
END
$$;
COMMENT ON FUNCTION remove_override IS
    'Take a lesson out of everything a bot reads, at once and without any job.';

CREATE FUNCTION lesson_expiry(p_decay_halflife_hours double precision) RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT now() + CASE
        WHEN p_decay_halflife_hours IS NULL THEN interval '30 days'
        ELSE least(
            make_interval(secs => least(3 * p_decay_halflife_hours, 2160) * 3600),
            interval '90 days'
        )
    END
$$;
COMMENT ON FUNCTION lesson_expiry IS
    'Three half-lives from now, at most 90 days; 30 days where nothing is known to decay.';

CREATE FUNCTION queue_materialising(p_actor text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    INSERT INTO job_runs (job, slot, run_trigger, requested_by, status)
    VALUES ('materialise_overrides', clock_timestamp(), 'manual', p_actor, 'queued')
    ON CONFLICT DO NOTHING;
    PERFORM pg_notify('edgekeeper_jobs', '');
END
$$;

CREATE FUNCTION require_clear_interval(p_lesson learning_lessons) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    low constant jsonb := p_lesson.stats -> 'ci_low_rr';
    high constant jsonb := p_lesson.stats -> 'ci_high_rr';
BEGIN
    IF jsonb_typeof(low) IS DISTINCT FROM 'number' OR jsonb_typeof(high) IS DISTINCT FROM 'number'
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK104',
            MESSAGE = format('lesson %s has no interval: it cannot be approved', p_lesson.id);
    END IF;
    IF low::numeric <= 0 AND high::numeric >= 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK104',
            MESSAGE = format(
                'the interval of lesson %s contains 0 (%s to %s R): it cannot be approved',
                p_lesson.id, low, high
            );
    END IF;
END
$$;

CREATE FUNCTION require_analysed_outcome(p_lesson learning_lessons) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    analysed text;
BEGIN
    IF p_lesson.lesson_type = 'level' THEN
        RETURN;  -- a level is the mean after costs, whatever is analysed beside it
    END IF;
    SELECT outcome INTO STRICT analysed FROM edgekeeper_state;
    IF p_lesson.outcome <> analysed THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK103',
            MESSAGE = format(
                'lesson %s rests on %s, but %s is analysed now: it cannot be approved until it '
                'is learned again', p_lesson.id, p_lesson.outcome, analysed
            );
    END IF;
END
$$;

CREATE FUNCTION activates(
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
    -- approvals of this version since anything else was decided on the lesson
    SELECT coalesce(array_agg(DISTINCT d.decided_by), '{}') INTO earlier
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
        ), 0);
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

-- ------------------------------------------------------------------ decisions of people
CREATE FUNCTION check_decision_arguments(
    p_decision text, p_reason text, p_token uuid, p_source text, p_approvals_required integer
) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    said text;
BEGIN
    said := CASE
        WHEN p_decision IS NULL OR p_decision NOT IN ('approve', 'reject', 'disable', 'renew')
            THEN format('a decision is approve, reject, disable or renew, got %L', p_decision)
        WHEN length(btrim(coalesce(p_reason, ''))) < 10
            THEN 'a reason of at least 10 characters is needed'
        WHEN p_token IS NULL THEN 'a decision needs its token'
        WHEN p_source IS NULL OR p_source NOT IN ('cli', 'dashboard', 'job', 'demo')
            THEN format('source must be cli, dashboard, job or demo, got %L', p_source)
        WHEN p_approvals_required IS NULL OR p_approvals_required NOT IN (1, 2)
            THEN format('approvals_required must be 1 or 2, got %s', p_approvals_required)
    END;
    IF said IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EK106', MESSAGE = said;
    END IF;
END
$$;

CREATE FUNCTION lesson_as_seen(p_lesson_id bigint, p_version integer, p_status text)
RETURNS learning_lessons
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    lesson learning_lessons;
BEGIN
    SELECT * INTO lesson FROM learning_lessons WHERE id = p_lesson_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106', MESSAGE = format('there is no lesson %s', p_lesson_id);
    END IF;
    IF (lesson.version, lesson.status) IS DISTINCT FROM (p_version, p_status) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK102',
            MESSAGE = format(
                'lesson %s changed meanwhile: it is %s in version %s, you saw it %s in version %s',
                lesson.id, lesson.status, lesson.version, p_status, p_version
            );
    END IF;
    RETURN lesson;
END
$$;

CREATE FUNCTION decided_before(
    p_token uuid, p_lesson_id bigint, p_version integer, p_decision text, p_actor text
) RETURNS lesson_decisions
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    first lesson_decisions;
BEGIN
    SELECT * INTO first FROM lesson_decisions WHERE decision_token = p_token;
    IF FOUND AND (first.lesson_id, first.lesson_version, first.decision, first.decided_by)
        IS DISTINCT FROM (p_lesson_id, p_version, p_decision, p_actor)
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK107', MESSAGE = 'this token has decided something else: open it again';
    END IF;
    RETURN first;
END
$$;

CREATE FUNCTION decide_lesson(
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
    n_people integer;
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
        lesson, p_decision, lesson.status, next_status, p_actor, p_reason, p_source, p_token
    );
    PERFORM carry_out(lesson, p_decision, next_status, p_actor, p_reason);
    RETURN first;
END
$$;
COMMENT ON FUNCTION decide_lesson IS
    'Approve, reject, disable or renew one version of a lesson. The same token decides once; the '
    'first of two approvals leaves the status as it is.';

CREATE FUNCTION carry_out(
    p_lesson learning_lessons, p_decision text, p_next_status text, p_actor text, p_reason text
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    IF p_decision = 'renew' THEN
        UPDATE learning_lessons
        SET expires_at = lesson_expiry(decay_halflife_hours), updated_at = now()
        WHERE id = p_lesson.id;
    ELSIF p_next_status = 'active' THEN
        UPDATE learning_lessons SET
            status = 'active', status_reason = p_reason, activated_at = now(),
            expires_at = lesson_expiry(decay_halflife_hours), updated_at = now()
        WHERE id = p_lesson.id;
    ELSIF p_next_status <> p_lesson.status THEN
        UPDATE learning_lessons
        SET status = p_next_status, status_reason = p_reason, updated_at = now()
        WHERE id = p_lesson.id;
    END IF;
    IF p_next_status = 'active' THEN
        PERFORM queue_materialising(p_actor);
    ELSIF p_lesson.status = 'active' THEN
        PERFORM remove_override(p_lesson, p_reason);
    END IF;
    UPDATE edgekeeper_state SET data_version = data_version + 1;
END
$$;

-- ------------------------------------------------------------------ the analysed outcome
CREATE FUNCTION require_reason(p_reason text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF length(btrim(coalesce(p_reason, ''))) < 10 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106', MESSAGE = 'a reason of at least 10 characters is needed';
    END IF;
END
$$;

CREATE FUNCTION set_outcome(
    p_outcome text, p_actor text, p_reason text, p_source text DEFAULT 'cli'
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    lesson learning_lessons;
    said constant text := format('the analysed outcome became %s: %s', p_outcome, p_reason);
    sent integer := 0;
BEGIN
    IF p_outcome IS NULL OR p_outcome NOT IN ('r_multiple_net', 'r_multiple', 'rr_path') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106',
            MESSAGE = format(
                'outcome must be r_multiple_net, r_multiple or rr_path, got %L', p_outcome
            );
    END IF;
    IF p_source IS NULL OR p_source NOT IN ('cli', 'dashboard') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106',
            MESSAGE = format('source must be cli or dashboard, got %L', p_source);
    END IF;
    PERFORM require_reason(p_reason);
    PERFORM require_decider(p_actor);
    PERFORM lock_decisions();
    IF (SELECT outcome FROM edgekeeper_state) IS NOT DISTINCT FROM p_outcome THEN
        RETURN NULL;
    END IF;
    FOR lesson IN
        SELECT * FROM learning_lessons WHERE status = 'active' ORDER BY id FOR UPDATE
    LOOP
        PERFORM append_decision(
            lesson, 'refresh', 'active', 'proposed', p_actor, said, p_source, gen_random_uuid()
        );
        PERFORM carry_out(lesson, 'refresh', 'proposed', p_actor, said);
        sent := sent + 1;
    END LOOP;
    UPDATE edgekeeper_state SET
        outcome = p_outcome,
        outcome_chosen_at = clock_timestamp(),
        outcome_chosen_by = p_actor,
        data_version = data_version + 1;
    RETURN sent;
END
$$;
COMMENT ON FUNCTION set_outcome IS
    'Change the analysed outcome for a person and send every active lesson back to proposed, out '
    'of everything a bot reads; returns how many. NULL: it was analysed already, nothing changed.';

-- ------------------------------------------------------------------ how many approve
CREATE FUNCTION set_approvals_required(
    p_number integer, p_actor text, p_reason text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    IF p_number IS NULL OR p_number NOT IN (1, 2) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106',
            MESSAGE = format('approvals_required must be 1 or 2, got %s', p_number);
    END IF;
    PERFORM require_reason(p_reason);
    PERFORM require_decider(p_actor);
    PERFORM lock_decisions();
    UPDATE edgekeeper_state SET
        approvals_required = p_number,
        approvals_set_by = p_actor,
        approvals_set_at = clock_timestamp(),
        approvals_reason = p_reason,
        data_version = data_version + 1
    WHERE approvals_required <> p_number;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION set_approvals_required IS
    'Keep how many people activate a lesson; a caller of decide_lesson may ask for more, never '
    'for fewer. False: it was that number already, nothing changed.';

-- ------------------------------------------------------------------ people
CREATE FUNCTION begin_change_of_people(p_actor text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    IF coalesce(btrim(p_actor), '') = '' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106', MESSAGE = 'changing people needs the name of who changes them';
    END IF;
    -- one change at a time: two admins must not remove each other
    LOCK TABLE people IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM people)
        AND NOT EXISTS (SELECT FROM people WHERE name = p_actor AND role = 'admin') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK101',
            MESSAGE = format('%L may not change who is listed: this takes the role admin', p_actor);
    END IF;
END
$$;

CREATE FUNCTION end_change_of_people() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM people) AND NOT EXISTS (SELECT FROM people WHERE role = 'admin') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK103',
            MESSAGE = 'where people are listed one has to be admin: nobody else could change them';
    END IF;
    UPDATE edgekeeper_state SET data_version = data_version + 1;
END
$$;

CREATE FUNCTION set_person(p_name text, p_role text, p_actor text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
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
    INSERT INTO people (name, role) VALUES (btrim(p_name), p_role)
    ON CONFLICT (name) DO UPDATE SET role = excluded.role;
    PERFORM end_change_of_people();
END
$$;
COMMENT ON FUNCTION set_person IS
    'List a person, or change the role of one who is listed. Anyone may list the first, who has '
    'to be an admin; afterwards an admin does.';

CREATE FUNCTION remove_person(p_name text, p_actor text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    PERFORM begin_change_of_people(p_actor);
    DELETE FROM people WHERE name = btrim(p_name);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106', MESSAGE = format('nobody is listed as %L', p_name);
    END IF;
    PERFORM end_change_of_people();
END
$$;
COMMENT ON FUNCTION remove_person IS
    'Take a person off the list, as an admin; the last admin goes last.';

-- ------------------------------------------------------------------ moves of jobs
CREATE FUNCTION move_lesson(
    p_lesson_id bigint, p_decision text, p_reason text, p_job text
) RETURNS lesson_decisions
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    lesson learning_lessons;
    is_new boolean;
    next_status text;
    written lesson_decisions;
BEGIN
    IF length(btrim(coalesce(p_reason, ''))) < 10 OR btrim(coalesce(p_job, '')) = '' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106',
            MESSAGE = 'a move needs a reason of at least 10 characters and the name of its job';
    END IF;
    PERFORM lock_decisions();
    SELECT * INTO lesson FROM learning_lessons WHERE id = p_lesson_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106', MESSAGE = format('there is no lesson %s', p_lesson_id);
    END IF;
    is_new := NOT EXISTS (SELECT FROM lesson_decisions WHERE lesson_id = lesson.id);
    next_status := CASE
        WHEN p_decision = 'propose' AND (
            lesson.status IN ('watch', 'retired', 'rejected')
            OR (is_new AND lesson.status = 'proposed')
        ) THEN 'proposed'
        WHEN p_decision = 'watch' AND (
            lesson.status IN ('proposed', 'retired') OR (is_new AND lesson.status = 'watch')
        ) THEN 'watch'
        WHEN p_decision = 'retire'
            AND lesson.status IN ('watch', 'proposed', 'active', 'disabled') THEN 'retired'
        WHEN p_decision = 'refresh' AND lesson.status IN ('proposed', 'active') THEN 'proposed'
    END;
    IF next_status IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK103',
            MESSAGE = format(
                'lesson %s is %s: a job may not %s it', lesson.id, lesson.status, p_decision
            );
    END IF;
    written := append_decision(
        lesson, p_decision, CASE WHEN NOT is_new THEN lesson.status END, next_status, p_job,
        p_reason, 'job', gen_random_uuid()
    );
    PERFORM carry_out(lesson, p_decision, next_status, p_job, p_reason);
    RETURN written;
END
$$;
COMMENT ON FUNCTION move_lesson IS
    'Move a lesson for a job: propose, watch, retire, or refresh (an effect that changed its sign '
    'goes back to proposed). Never to active or rejected, and never out of disabled but to retired.';

-- ------------------------------------------------------------------ what holds of every lesson
CREATE FUNCTION guard_lesson() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    last record;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.version < OLD.version THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK109',
            MESSAGE = format('the version of lesson %s never falls', NEW.id);
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.status = 'active' AND OLD.status = 'active' THEN
        IF NEW.version > OLD.version THEN
            RAISE EXCEPTION USING
                ERRCODE = 'EK109',
                MESSAGE = format(
                    'lesson %s is approved in version %s: a new version goes back to proposed first',
                    NEW.id, OLD.version
                );
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.status NOT IN ('active', 'rejected')
        OR (TG_OP = 'UPDATE' AND NEW.status = OLD.status) THEN
        RETURN NEW;
    END IF;
    -- an upsert of a lesson that is there comes by here before it becomes an UPDATE
    IF TG_OP = 'INSERT' AND EXISTS (
        SELECT FROM learning_lessons AS l
        WHERE (l.module, l.pattern_key, l.action_category, l.scope_values_hash, l.lesson_type)
            = (NEW.module, NEW.pattern_key, NEW.action_category, NEW.scope_values_hash,
               NEW.lesson_type)
    ) THEN
        RETURN NEW;
    END IF;
    SELECT d.to_status, d.lesson_version INTO last
    FROM lesson_decisions AS d WHERE d.lesson_id = NEW.id ORDER BY d.id DESC LIMIT 1;
    IF (last.to_status, last.lesson_version) IS DISTINCT FROM (NEW.status, NEW.version) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK109',
            MESSAGE = format(
                'lesson %s becomes %s by a person''s decision only (decide_lesson)',
                NEW.id, NEW.status
            );
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION guard_lesson IS
    'A lesson is active or rejected only where the last decision on it, of this version, says so.';

CREATE TRIGGER guard_lesson BEFORE INSERT OR UPDATE OF status, version ON learning_lessons
    FOR EACH ROW EXECUTE FUNCTION guard_lesson();

-- ------------------------------------------------------------------ the kill switch
CREATE FUNCTION set_kill_switch(
    p_on boolean, p_actor text, p_reason text, p_confirmation text DEFAULT NULL
) RETURNS kill_switch
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    switch kill_switch;
BEGIN
    IF p_on IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'EK106', MESSAGE = 'the kill switch is on or off, got NULL';
    END IF;
    PERFORM require_decider(p_actor);
    IF p_on AND p_confirmation IS DISTINCT FROM 'ENABLE' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK108', MESSAGE = 'switching overrides on needs the typed word ENABLE';
    END IF;
    IF p_on AND length(btrim(coalesce(p_reason, ''))) < 10 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK106', MESSAGE = 'switching overrides on needs a reason of at least 10 characters';
    END IF;
    UPDATE kill_switch SET
        overrides_on = p_on,
        -- switching off never fails for want of words
        reason = coalesce(nullif(btrim(p_reason), ''), 'switched off without a word'),
        changed_by = p_actor,
        changed_at = clock_timestamp(),
        switch_revision = switch_revision + 1
    RETURNING * INTO STRICT switch;
    INSERT INTO kill_switch_history (
        overrides_on, reason, changed_by, changed_at, switch_revision
    ) VALUES (
        switch.overrides_on, switch.reason, switch.changed_by, switch.changed_at,
        switch.switch_revision
    );
    UPDATE edgekeeper_state SET data_version = data_version + 1;
    PERFORM pg_notify('edgekeeper_overrides', '');
    RETURN switch;
END
$$;
COMMENT ON FUNCTION set_kill_switch IS
    'Off in one step; on with a reason and the typed word ENABLE.';
