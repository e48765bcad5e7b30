-- What was stored a cell a row, in packs; and the view that shows packs as cells.

-- A pack stays whole on its page: no detour through the table of large values.
ALTER TABLE scope_stat_packs SET (toast_tuple_target = 8160);

INSERT INTO scope_stat_packs
SELECT
    group_id, scope_mask, part, ARRAY(SELECT unnest(scope_codes)), n, sum_rr, sum_rr_sq,
    variance, rr_baseline, edge_raw, time_efficiency, field_coherence, recurrence_score,
    segments_tested, segments_positive
FROM (
    SELECT
        group_id,
        scope_mask,
        part,
        array_agg(scope_codes ORDER BY scope_codes) AS scope_codes,
        array_agg(n ORDER BY scope_codes) AS n,
        array_agg(sum_rr ORDER BY scope_codes) AS sum_rr,
        array_agg(sum_rr_sq ORDER BY scope_codes) AS sum_rr_sq,
        array_agg(variance ORDER BY scope_codes) AS variance,
        array_agg(rr_baseline ORDER BY scope_codes) AS rr_baseline,
        array_agg(edge_raw ORDER BY scope_codes) AS edge_raw,
        array_agg(time_efficiency ORDER BY scope_codes) AS time_efficiency,
        array_agg(field_coherence ORDER BY scope_codes) AS field_coherence,
        array_agg(recurrence_score ORDER BY scope_codes) AS recurrence_score,
        array_agg(segments_tested ORDER BY scope_codes) AS segments_tested,
        array_agg(segments_positive ORDER BY scope_codes) AS segments_positive
    FROM (
        SELECT
            *,
            (row_number() OVER (PARTITION BY group_id, scope_mask ORDER BY scope_codes) - 1) / 48
                AS part
        FROM old_cells
    ) AS numbered
    GROUP BY group_id, scope_mask, part
) AS packed;

CREATE VIEW scope_stat_cells AS
SELECT
    p.group_id,
    p.scope_mask,
    p.scope_codes[(c.place - 1) * k.size + 1 : c.place * k.size] AS scope_codes,
    c.n,
    c.sum_rr,
    c.sum_rr_sq,
    c.variance,
    c.rr_baseline,
    c.edge_raw,
    c.time_efficiency,
    c.field_coherence,
    c.recurrence_score,
    c.segments_tested,
    c.segments_positive
FROM scope_stat_packs AS p
CROSS JOIN LATERAL (SELECT bit_count(p.scope_mask::int::bit(16))::int AS size) AS k
CROSS JOIN LATERAL unnest(
    p.n, p.sum_rr, p.sum_rr_sq, p.variance, p.rr_baseline, p.edge_raw, p.time_efficiency,
    p.field_coherence, p.recurrence_score, p.segments_tested, p.segments_positive
) WITH ORDINALITY AS c (
    n, sum_rr, sum_rr_sq, variance, rr_baseline, edge_raw, time_efficiency,
    field_coherence, recurrence_score, segments_tested, segments_positive, place
);
COMMENT ON VIEW scope_stat_cells IS
    'One row per stored scope; filter by group_id and scope_mask: those use the index.';

DO $$
DECLARE
    allowed record;
BEGIN
    FOR allowed IN SELECT * FROM (VALUES
        ('edgekeeper_worker', 'SELECT', 'scope_stat_cells'),
        ('edgekeeper_worker', 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE', 'scope_stat_packs'),
        ('edgekeeper_dashboard', 'SELECT', 'scope_stat_cells'),
        ('edgekeeper_dashboard', 'SELECT', 'scope_stat_packs'),
        ('edgekeeper_approver', 'SELECT', 'scope_stat_cells'),
        ('edgekeeper_approver', 'SELECT', 'scope_stat_packs')
    ) AS r (role_name, rights, target) LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = allowed.role_name) THEN
            EXECUTE format(
                'GRANT %s ON %I TO %I', allowed.rights, allowed.target, allowed.role_name
            );
        END IF;
    END LOOP;
END
$$;
