-- The rows of one assessment day and, in a scheduled run, of the days before that it looks back to. Any
-- query may take its place that gives result_id, integration_id, candidate_id, application_id and the
-- columns that the mapping reads. Both days are bound; a query that knows only :assessment_date is exact.
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
WHERE assessment_date BETWEEN :first_assessment_date AND :assessment_date
