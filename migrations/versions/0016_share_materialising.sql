-- A run that waits serves every decision made before it begins. Its row stays locked until this
-- decision is committed: nobody begins it before, and claims meanwhile pass it by. Where it has
-- begun, it may have read the lessons already: then another one is queued.

CREATE OR REPLACE FUNCTION queue_materialising(p_actor text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    UPDATE job_runs SET requested_by = CASE
        WHEN p_actor = ANY (string_to_array(requested_by, ', ')) THEN requested_by
        ELSE requested_by || ', ' || p_actor
    END
    WHERE status = 'queued' AND id = (
        SELECT min(id) FROM job_runs
        WHERE job = 'materialise_overrides' AND status = 'queued' AND run_trigger = 'manual'
            AND slot <= clock_timestamp()
            AND changed IS NULL  -- no further try of one that failed: it may be the last
    );
    IF NOT FOUND THEN
        INSERT INTO job_runs (job, slot, run_trigger, requested_by, status)
        VALUES ('materialise_overrides', clock_timestamp(), 'manual', p_actor, 'queued')
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM pg_notify('edgekeeper_jobs', '');
END
$$;
