-- What an override may do: an active lesson of its version behind it, one step a day.

CREATE FUNCTION flat_levers(override pm_overrides) RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'size_mult', override.size_mult,
        'alloc_mult', override.alloc_mult,
        'entry_aggression_mult', override.entry_aggression_mult,
        'exit_aggression_mult', override.exit_aggression_mult,
        'entry_delay_bars', override.entry_delay_bars,
        'phase1_frac_mult', override.phase1_frac_mult,
        'trim_delay_mult', override.trim_delay_mult,
        'trail_mult', override.trail_mult,
        'panic_trigger_mult', override.panic_trigger_mult,
        'wait_n_bars_after_trim', override.wait_n_bars_after_trim,
        'phase_scaling.S1', override.phase_scaling_s1,
        'phase_scaling.S2', override.phase_scaling_s2,
        'phase_scaling.S3', override.phase_scaling_s3
    ))
$$;
COMMENT ON FUNCTION flat_levers IS 'The levers an override sets, under their flat names.';

CREATE FUNCTION require_active_lesson() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    lesson record;
BEGIN
    -- the lock makes a disabling that runs at the same time wait, and then win
    SELECT version, status, expires_at INTO lesson
    FROM learning_lessons WHERE id = NEW.lesson_id FOR SHARE;
    IF lesson.status IS DISTINCT FROM 'active' OR lesson.version <> NEW.lesson_version THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK202',
            MESSAGE = format(
                'an override needs an active lesson of its own version: lesson %s is %s, '
                'version %s, the override names version %s',
                NEW.lesson_id, lesson.status, lesson.version, NEW.lesson_version
            );
    END IF;
    IF NEW.expires_at > lesson.expires_at THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK203',
            MESSAGE = format(
                'an override ends with its lesson, at %s, got %s: prolonging it is a decision',
                lesson.expires_at, NEW.expires_at
            );
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION cap_step() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    -- lever: neutral value and largest move per epoch
    rules constant jsonb := '{
        "size_mult": [1, 0.02], "alloc_mult": [1, 0.02],
        "entry_aggression_mult": [1, 0.02], "exit_aggression_mult": [1, 0.02],
        "entry_delay_bars": [0, 1], "phase1_frac_mult": [1, 0.02],
        "trim_delay_mult": [1, 0.02], "trail_mult": [1, 0.02], "panic_trigger_mult": [1, 0.02],
        "wait_n_bars_after_trim": [0, 1],
        "phase_scaling.S1": [1, 0.02], "phase_scaling.S2": [1, 0.02], "phase_scaling.S3": [1, 0.02]
    }';
    tolerance constant double precision := 1e-8;  -- of floating point, not of the rule
    moved jsonb := flat_levers(NEW);
    expected jsonb;
    wrong record;
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- an upsert comes by here before it becomes an UPDATE, which is judged by itself
        PERFORM FROM pm_overrides WHERE lesson_id = NEW.lesson_id FOR UPDATE;
        IF FOUND THEN
            RETURN NEW;
        END IF;
        expected := '{}';
    ELSIF NEW.epoch = OLD.epoch THEN
        expected := OLD.epoch_start;
    ELSE
        expected := flat_levers(OLD);
    END IF;
    IF NEW.epoch NOT IN (
        (now() AT TIME ZONE 'UTC')::date, (clock_timestamp() AT TIME ZONE 'UTC')::date
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK204',
            MESSAGE = format(
                'the epoch of an override must be today in UTC, %s, got %s',
                (now() AT TIME ZONE 'UTC')::date, NEW.epoch
            );
    END IF;
    SELECT
        key,
        coalesce((expected ->> key)::float8, (rule ->> 0)::float8) AS start,
        coalesce((NEW.epoch_start ->> key)::float8, (rule ->> 0)::float8) AS said_start,
        coalesce((moved ->> key)::float8, (rule ->> 0)::float8) AS value,
        (rule ->> 1)::float8 AS step
    INTO wrong
    FROM jsonb_each(rules) AS r (key, rule)
    WHERE abs(
            coalesce((moved ->> key)::float8, (rule ->> 0)::float8)
            - coalesce((expected ->> key)::float8, (rule ->> 0)::float8)
        ) > (rule ->> 1)::float8 + tolerance
        OR abs(
            coalesce((NEW.epoch_start ->> key)::float8, (rule ->> 0)::float8)
            - coalesce((expected ->> key)::float8, (rule ->> 0)::float8)
        ) > tolerance
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN NEW;
    END IF;
    IF abs(wrong.said_start - wrong.start) > tolerance THEN
        RAISE EXCEPTION USING
            ERRCODE = 'EK205',
            MESSAGE = format(
                'epoch_start of %s must be where the last epoch ended, %s, got %s',
                wrong.key, wrong.start, wrong.said_start
            );
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'EK201',
        MESSAGE = format(
            '%s may move by at most %s a day, got a move from %s to %s',
            wrong.key, wrong.step, wrong.start, wrong.value
        );
END
$$;
COMMENT ON FUNCTION cap_step IS
    'No lever moves further from where its UTC day began than its step, whoever writes, and '
    'however often. Signal thresholds have their steps in the settings and are capped there.';

CREATE TRIGGER a_require_active_lesson BEFORE INSERT OR UPDATE ON pm_overrides
    FOR EACH ROW EXECUTE FUNCTION require_active_lesson();

CREATE TRIGGER b_cap_step BEFORE INSERT OR UPDATE OF
    size_mult, alloc_mult, entry_aggression_mult, exit_aggression_mult, entry_delay_bars,
    phase1_frac_mult, trim_delay_mult, trail_mult, panic_trigger_mult, wait_n_bars_after_trim,
    phase_scaling_s1, phase_scaling_s2, phase_scaling_s3, epoch, epoch_start
    ON pm_overrides
    FOR EACH ROW EXECUTE FUNCTION cap_step();

CREATE FUNCTION keep_lesson_of_override() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'EK206', MESSAGE = 'an override belongs to its lesson for ever';
END
$$;

CREATE TRIGGER keep_lesson BEFORE UPDATE ON pm_overrides
    FOR EACH ROW WHEN (OLD.lesson_id <> NEW.lesson_id)
    EXECUTE FUNCTION keep_lesson_of_override();

-- ------------------------------------------------------------------ alerts
CREATE FUNCTION guard_alert() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
DECLARE
    allowed alerts := OLD;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.seen_at IS NULL THEN
            allowed.seen_at := NEW.seen_at;
            allowed.seen_by := NEW.seen_by;
        END IF;
        IF OLD.closed_at IS NULL THEN
            allowed.closed_at := NEW.closed_at;
            allowed.closed_reason := NEW.closed_reason;
        END IF;
        IF NEW IS NOT DISTINCT FROM allowed THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'EK001',
        MESSAGE = format('alerts are kept as raised: %s refused', TG_OP);
END
$$;
COMMENT ON FUNCTION guard_alert IS
    'An alert is marked seen once and closed once; nothing else of it ever changes.';

CREATE TRIGGER guard_alert BEFORE UPDATE OR DELETE ON alerts
    FOR EACH ROW EXECUTE FUNCTION guard_alert();
CREATE TRIGGER keep_alerts BEFORE TRUNCATE ON alerts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE alerts ENABLE ALWAYS TRIGGER guard_alert;
ALTER TABLE alerts ENABLE ALWAYS TRIGGER keep_alerts;
