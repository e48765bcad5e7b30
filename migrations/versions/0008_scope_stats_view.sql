-- The cube with its codes spelled out, over scope_stat_cells, be it a table or a view.

CREATE VIEW pattern_scope_stats AS
SELECT
    g.module,
    g.pattern_key,
    g.action_category,
    c.scope_mask,
    spelled.scope_values,
    scope_hash(spelled.scope_values) AS scope_values_hash,
    c.n,
    jsonb_strip_nulls(jsonb_build_object(
        'n', c.n,
        'avg_rr', c.sum_rr / c.n,
        'variance', c.variance,
        'sum_rr', c.sum_rr,
        'sum_rr_sq', c.sum_rr_sq,
        'rr_baseline', c.rr_baseline,
        'delta_rr', c.sum_rr / c.n - c.rr_baseline,
        'edge_raw', c.edge_raw,
        'time_efficiency', c.time_efficiency,
        'field_coherence', c.field_coherence,
        'recurrence_score', c.recurrence_score,
        'segments_tested', c.segments_tested,
        'segments_positive', c.segments_positive
    )) AS stats,
    g.updated_at
FROM scope_stat_cells AS c
JOIN scope_groups AS g ON g.id = c.group_id
CROSS JOIN LATERAL (
    -- the code of dimension i stands where the mask's bits up to i count it
    SELECT (
        SELECT jsonb_object_agg(l.name, l.value)
        FROM generate_series(0, 14) AS i
        JOIN scope_levels AS l
            ON l.module = g.module
            AND l.dimension = i
            AND l.code = c.scope_codes[
                bit_count((c.scope_mask::int & ((1 << (i + 1)) - 1))::bit(16))
            ]
        WHERE (c.scope_mask::int >> i) & 1 = 1
    ) AS scope_values
) AS spelled;
COMMENT ON VIEW pattern_scope_stats IS
    'Every stored scope with its values and statistics; a view over scope_stat_cells. '
    'Filter by module, pattern_key, action_category and scope_mask: those use the indexes.';

DO $$
DECLARE
    reader text;
BEGIN
    FOREACH reader IN ARRAY ARRAY[
        'edgekeeper_worker', 'edgekeeper_dashboard', 'edgekeeper_approver'
    ] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = reader) THEN
            EXECUTE format('GRANT SELECT ON pattern_scope_stats TO %I', reader);
        END IF;
    END LOOP;
END
$$;
