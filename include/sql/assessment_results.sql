-- The rows of one assessment day. Any query may take its place that gives result_id, integration_id,
-- candidate_id, application_id and the columns that the mapping reads. :assessment_date is bound.
SELECT
    result_id,
    assessment_date,
    completed_at,
    integration_id,
    candidate_id,
    application_id,
    assessment_name,
    result_url,
    score,
    max_score,
    duration_seconds,
    remote_fields
FROM assessment_results
WHERE assessment_date = :assessment_date
