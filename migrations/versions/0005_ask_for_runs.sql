-- What people do about jobs: each asks who it is, as decisions on lessons do.
-- SQLSTATEs as there: EK101 not allowed, EK106 wrong argument.

CREATE FUNCTION ask_for_run(p_job text, p_actor text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    waiting bigint;
BEGIN
    PERFORM require_decider(p_actor);
    PERFORM pg_advisory_xact_lock(hashtext('edgekeeper_claim'));
    SELECT min(id) INTO waiting FROM job_runs
    WHERE job = p_job AND status = 'queued' AND run_trigger = 'manual' AND slot <= clock_timestamp();
    IF waiting IS NULL THEN
        INSERT INTO job_runs (job, slot, run_trigger, requested_by, status)
        VALUES (p_job, clock_timestamp(), 'manual', p_actor, 'queued')
        RETURNING id INTO waiting;
    END IF;
    PERFORM pg_notify('edgekeeper_jobs', '');
    RETURN waiting;
END
$$;
COMMENT ON FUNCTION ask_for_run IS
    'Queue a run for the worker, unless a person asked for one that waits; its id either way.';

CREATE FUNCTION set_job_paused(p_job text, p_paused boolean, p_actor text, p_reason text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    PERFORM require_decider(p_actor);
    INSERT INTO job_settings (job, is_paused, changed_by, reason, changed_at)
    VALUES (p_job, p_paused, p_actor, btrim(p_reason), clock_timestamp())
    ON CONFLICT (job) DO UPDATE SET
        is_paused = excluded.is_paused,
        changed_by = excluded.changed_by,
        reason = excluded.reason,
        changed_at = excluded.changed_at;
    PERFORM pg_notify('edgekeeper_jobs', '');
END
$$;
COMMENT ON FUNCTION set_job_paused IS
    'Take a job off the timetable, or put it back; a run under way goes on.';

CREATE FUNCTION cancel_run(p_run_id bigint, p_actor text, p_reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    PERFORM require_decider(p_actor);
    UPDATE job_runs SET
        status = 'skipped',
        finished_at = clock_timestamp(),
        error = left(format('cancelled by %s: %s', p_actor, btrim(p_reason)), 2000)
    WHERE id = p_run_id AND status = 'queued';
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION cancel_run IS
    'Take a run out of the queue; false where it is not queued any more.';

REVOKE ALL ON FUNCTION
    ask_for_run(text, text), set_job_paused(text, boolean, text, text),
    cancel_run(bigint, text, text)
FROM PUBLIC;

DO $$
DECLARE
    who text;
BEGIN
    FOREACH who IN ARRAY ARRAY['edgekeeper_approver', 'edgekeeper_worker'] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = who) THEN
            EXECUTE format(
                'GRANT EXECUTE ON FUNCTION ask_for_run(text, text), '
                'set_job_paused(text, boolean, text, text), cancel_run(bigint, text, text) TO %I',
                who
            );
        END IF;
    END LOOP;
END
$$;
