-- Bounds of a lesson's effect, for a CHECK: frozen copies of the lever table.

CREATE FUNCTION is_number_within(value jsonb, low numeric, high numeric) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN jsonb_typeof(value) = 'number' THEN (value #>> '{}')::numeric BETWEEN low AND high
        ELSE false
    END
$$;

CREATE FUNCTION levers_in_bounds(levers jsonb, bounds jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
    SELECT CASE
        WHEN levers IS NULL THEN true
        WHEN jsonb_typeof(levers) <> 'object' THEN false
        ELSE (
            SELECT coalesce(bool_and(
                CASE
                    WHEN bounds ? key THEN is_number_within(
                        value, (bounds -> key ->> 0)::numeric, (bounds -> key ->> 1)::numeric
                    )
                    ELSE false
                END
            ), true)
            FROM jsonb_each(levers)
        )
    END
$$;
COMMENT ON FUNCTION levers_in_bounds IS
    'Every lever is known and a number within [low, high]; levers that are not there are fine.';

CREATE FUNCTION thresholds_are_numbers(thresholds jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
    SELECT CASE
        WHEN thresholds IS NULL THEN true
        WHEN jsonb_typeof(thresholds) <> 'object' THEN false
        ELSE (
            SELECT coalesce(bool_and(is_number_within(value, -1e300, 1e300)), true)
            FROM jsonb_each(thresholds)
        )
    END
$$;

CREATE FUNCTION lesson_effect_in_bounds(effect jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, @schema, pg_temp
AS $$
    SELECT CASE
        WHEN jsonb_typeof(effect) <> 'object' THEN false
        WHEN effect ? 'execution_levers'
            AND jsonb_typeof(effect -> 'execution_levers') <> 'object' THEN false
        ELSE levers_in_bounds(
            effect -> 'capital_levers',
            '{"size_mult": [0.7, 1.3], "alloc_mult": [0.7, 1.3],
              "entry_aggression_mult": [0.8, 1.2], "exit_aggression_mult": [0.8, 1.2]}'
        ) AND levers_in_bounds(
            (effect -> 'execution_levers') - 'phase_scaling' - 'signal_thresholds',
            '{"entry_delay_bars": [0, 5], "phase1_frac_mult": [0.5, 1.5],
              "trim_delay_mult": [0.5, 2], "trail_mult": [0.5, 2],
              "panic_trigger_mult": [0.5, 2], "wait_n_bars_after_trim": [0, 10]}'
        ) AND levers_in_bounds(
            effect -> 'execution_levers' -> 'phase_scaling',
            '{"S1": [0.5, 1.5], "S2": [0.5, 1.5], "S3": [0.5, 1.5]}'
        ) AND thresholds_are_numbers(effect -> 'execution_levers' -> 'signal_thresholds')
    END
$$;
COMMENT ON FUNCTION lesson_effect_in_bounds IS
    'The CHECK of learning_lessons.effect: capital_levers and execution_levers hold known levers '
    'only, each a number within its bounds.';
