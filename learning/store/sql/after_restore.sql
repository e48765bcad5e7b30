-- After a backup was restored: nothing acts that a person did not decide on since. A bot may hold
-- a newer state than the backup's, so generation and revisions go on from the higher of both.
UPDATE kill_switch SET
    overrides_on = false,
    reason = 'a backup was restored: check, then switch on again',
    changed_by = :'actor',
    changed_at = clock_timestamp(),
    switch_revision = greatest(switch_revision, :switch_revision) + 1;
INSERT INTO kill_switch_history (overrides_on, reason, changed_by, changed_at, switch_revision)
SELECT overrides_on, reason, changed_by, changed_at, switch_revision FROM kill_switch;
UPDATE edgekeeper_state SET
    generation = greatest(generation, :generation) + 1,
    revision = greatest(revision, :revision) + 1,
    data_version = greatest(data_version, :data_version) + 1;
-- every active lesson goes back to proposed by a decision of its own, which removes its override
SELECT count(move_lesson(id, 'refresh', 'a backup was restored: approve it anew', :'actor'))
FROM (SELECT id FROM learning_lessons WHERE status = 'active' ORDER BY id) AS active;
-- what no lesson stands behind any more
DELETE FROM pm_overrides;
UPDATE learning_configs SET
    config_data = config_data || jsonb_build_object(
        'generation', s.generation,
        'revision', s.revision,
        'pattern_strength_overrides', '[]'::jsonb,
        'pattern_overrides', '[]'::jsonb,
        'alloc_overrides', '[]'::jsonb
    ),
    version = s.revision,
    generation = s.generation,
    updated_at = now()
FROM edgekeeper_state AS s;
UPDATE job_runs SET
    status = 'lost', finished_at = clock_timestamp(), error = 'it was running when the backup was made'
WHERE status = 'running';
DELETE FROM bot_heartbeats;
SELECT pg_notify('edgekeeper_overrides', '');
