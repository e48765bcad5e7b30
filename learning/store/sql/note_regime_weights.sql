-- Keep what a run moved of a module's weights: a row for the day where weights or intervals differ
-- from the last ones kept, and none where everything stands as it did.
INSERT INTO regime_weight_history (
    module, pattern_key, action_category, regime_signature, learned_on, weights, intervals,
    n_samples
)
SELECT
    w.module, w.pattern_key, w.action_category, w.regime_signature, :learned_on, w.weights,
    w.intervals, w.n_samples
FROM learning_regime_weights AS w
LEFT JOIN LATERAL (
    SELECT h.weights, h.intervals
    FROM regime_weight_history AS h
    WHERE h.module = w.module
        AND h.pattern_key = w.pattern_key
        AND h.action_category = w.action_category
        AND h.regime_signature = w.regime_signature
    ORDER BY h.learned_on DESC
    LIMIT 1
) AS last ON true
WHERE w.module = :module
    AND (last.weights, last.intervals) IS DISTINCT FROM (w.weights, w.intervals)
ON CONFLICT (module, pattern_key, action_category, regime_signature, learned_on) DO UPDATE
SET weights = excluded.weights,
    intervals = excluded.intervals,
    n_samples = excluded.n_samples
