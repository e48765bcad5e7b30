-- Who may do what. Four group roles; a login becomes one by GRANT edgekeeper_bot TO <login>, or
-- the role itself is given a password and LOGIN, which also brings its time limits into force.
-- Where roles cannot be made, a NOTICE says so and the owner of the tables does everything.

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES
        ('edgekeeper_bot', '2s', '1s', '5s'),
        ('edgekeeper_worker', '10min', '10s', '60s'),
        ('edgekeeper_dashboard', '30s', '2s', '10s'),
        ('edgekeeper_approver', '30s', '5s', '10s')
    ) AS r (name, statement_timeout, lock_timeout, idle_timeout) LOOP
        BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
                CONTINUE;  -- of another database of this server: its settings stay
            END IF;
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted.name);
            EXECUTE format(
                'ALTER ROLE %I SET statement_timeout = %L', wanted.name, wanted.statement_timeout
            );
            EXECUTE format(
                'ALTER ROLE %I SET lock_timeout = %L', wanted.name, wanted.lock_timeout
            );
            EXECUTE format(
                'ALTER ROLE %I SET idle_in_transaction_session_timeout = %L',
                wanted.name, wanted.idle_timeout
            );
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role % was not made: this user may not make roles', wanted.name;
            WHEN unique_violation OR duplicate_object THEN
                NULL;  -- another database of this server made it meanwhile
        END;
    END LOOP;
END
$$;

-- A right for a role, where the role exists.
CREATE FUNCTION pg_temp.allow(role_name text, rights text, target text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
        EXECUTE format('GRANT %s ON %s TO %I', rights, target, role_name);
    END IF;
END
$$;

-- Functions that write, or read past the reader's own rights, are nobody's unless allowed below.
REVOKE ALL ON FUNCTION
    receive_strand(), actions_of_trade(text, text), lock_decisions(), chain_decision(),
    require_decider(text),
    append_decision(learning_lessons, text, text, text, text, text, text, uuid),
    remove_override(learning_lessons, text), queue_materialising(text),
    activates(learning_lessons, text, integer), lesson_as_seen(bigint, integer, text),
    decided_before(uuid, bigint, integer, text, text), require_analysed_outcome(learning_lessons),
    decide_lesson(bigint, integer, text, text, text, text, uuid, text, integer),
    carry_out(learning_lessons, text, text, text, text),
    move_lesson(bigint, text, text, text), guard_lesson(),
    set_kill_switch(boolean, text, text, text), set_outcome(text, text, text, text),
    set_approvals_required(integer, text, text), begin_change_of_people(text),
    end_change_of_people(), set_person(text, text, text), remove_person(text, text)
FROM PUBLIC;

DO $$
DECLARE
    reader text;
    wanted record;
BEGIN
    IF current_schema() <> 'public' THEN
        FOREACH reader IN ARRAY ARRAY[
            'edgekeeper_bot', 'edgekeeper_worker', 'edgekeeper_dashboard', 'edgekeeper_approver'
        ] LOOP
            PERFORM pg_temp.allow(reader, 'USAGE', format('SCHEMA %I', current_schema()));
        END LOOP;
    END IF;

    -- Everyone but the bot reads every table.
    FOREACH reader IN ARRAY ARRAY[
        'edgekeeper_worker', 'edgekeeper_dashboard', 'edgekeeper_approver'
    ] LOOP
        FOR wanted IN
            SELECT c.oid::regclass AS name
            FROM pg_class AS c
            WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'v')
        LOOP
            PERFORM pg_temp.allow(reader, 'SELECT', wanted.name::text);
        END LOOP;
        PERFORM pg_temp.allow(reader, 'EXECUTE', 'FUNCTION actions_of_trade(text, text)');
    END LOOP;
END
$$;

-- The bot writes strands, telemetry, heartbeats and what its tracker sees; it reads what it obeys.
SELECT pg_temp.allow('edgekeeper_bot', rights, target) FROM (VALUES
    ('INSERT (strand_key, kind, module, bot, origin, position_id, trade_id, content, '
     'regime_context, raw, import_batch_id), SELECT (id, strand_key)', 'ad_strands'),
    ('INSERT (application_key, bot, origin, module, trade_id, pattern_key, action_category, '
     'override_id, lesson_id, lesson_version, latent_factor_id, generation, revision, scope, '
     'levers_before, levers_after, levers_would_be, arm, u, p, reason, decided_at), '
     'SELECT (id, application_key)', 'override_applications'),
    ('SELECT, INSERT, UPDATE', 'bot_heartbeats'),
    ('SELECT, INSERT', 'phase_state_bucket'),
    ('SELECT, INSERT', 'token_cap_bucket'),
    ('SELECT', 'learning_configs'),
    ('SELECT', 'kill_switch'),
    ('SELECT', 'edgekeeper_state'),
    ('SELECT', 'alembic_version'),
    ('EXECUTE', 'FUNCTION actions_of_trade(text, text)')
) AS r (rights, target);

-- The worker appends facts and rebuilds what is derived; lessons change their status by decision.
SELECT pg_temp.allow('edgekeeper_worker', rights, target) FROM (VALUES
    ('INSERT (strand_key, kind, module, bot, origin, position_id, trade_id, content, '
     'regime_context, raw, import_batch_id)', 'ad_strands'),
    ('INSERT, UPDATE', 'strand_ledger'),
    ('INSERT', 'import_batches'),
    ('INSERT', 'mining_runs'),
    ('INSERT', 'lesson_versions'),
    ('INSERT', 'override_history'),
    ('INSERT, UPDATE, DELETE', 'trade_actions'),
    ('INSERT, UPDATE, DELETE', 'pattern_trade_events'),
    ('INSERT, UPDATE, DELETE, TRUNCATE', 'scope_groups'),
    ('INSERT, UPDATE, DELETE, TRUNCATE', 'scope_levels'),
    ('INSERT, UPDATE, DELETE, TRUNCATE', 'scope_stat_cells'),
    ('INSERT, UPDATE, DELETE, TRUNCATE', 'learning_edge_history'),
    ('INSERT, UPDATE, DELETE', 'learning_latent_factors'),
    ('INSERT, UPDATE, DELETE', 'learning_regime_weights'),
    ('INSERT, UPDATE, DELETE', 'override_effects'),
    ('INSERT (kind, lesson_id, lesson_version, measure, message, evidence), '
     'UPDATE (closed_at, closed_reason)', 'alerts'),
    ('INSERT, UPDATE, DELETE', 'pm_overrides'),
    ('INSERT, UPDATE', 'learning_configs'),
    ('INSERT, UPDATE, DELETE', 'job_runs'),
    ('DELETE', 'bot_heartbeats'),
    ('SELECT, INSERT', 'phase_state_bucket'),
    ('SELECT, INSERT', 'token_cap_bucket'),
    ('UPDATE (data_version, revision, outcome, outcome_chosen_at, outcome_chosen_by)',
     'edgekeeper_state'),
    ('INSERT (module, pattern_key, action_category, scope_dims, scope_values, '
     'scope_values_hash, lesson_type, outcome, n, stats, effect, lesson_strength, '
     'decay_halflife_hours, half_life_state, half_life_reason, half_life, latent_factor_id, '
     'status, status_reason, confirmation, confirmation_reason, version, weak_looks, '
     'mean_closed_at, discovered_at, mining_run_id, parent_lesson_id, composition, updated_at), '
     'UPDATE (n, stats, effect, lesson_strength, decay_halflife_hours, half_life_state, '
     'half_life_reason, half_life, latent_factor_id, confirmation, confirmation_reason, version, '
     'weak_looks, mean_closed_at, mining_run_id, parent_lesson_id, composition, outcome, '
     'updated_at)', 'learning_lessons'),
    ('EXECUTE', 'FUNCTION lock_decisions()'),
    ('EXECUTE', 'FUNCTION move_lesson(bigint, text, text, text)')
) AS r (rights, target);

-- The approver reads as the dashboard does, decides by function, and runs or pauses jobs.
SELECT pg_temp.allow('edgekeeper_approver', rights, target) FROM (VALUES
    ('EXECUTE', 'FUNCTION decide_lesson(bigint, integer, text, text, text, text, uuid, text, '
     'integer)'),
    ('EXECUTE', 'FUNCTION set_kill_switch(boolean, text, text, text)'),
    ('EXECUTE', 'FUNCTION set_outcome(text, text, text, text)'),
    ('EXECUTE', 'FUNCTION set_approvals_required(integer, text, text)'),
    ('EXECUTE', 'FUNCTION set_person(text, text, text)'),
    ('EXECUTE', 'FUNCTION remove_person(text, text)'),
    ('INSERT (job, slot, run_trigger, requested_by, status)', 'job_runs'),
    ('INSERT, UPDATE', 'job_settings'),
    ('UPDATE (seen_at, seen_by)', 'alerts')
) AS r (rights, target);

DROP FUNCTION pg_temp.allow(text, text, text);
