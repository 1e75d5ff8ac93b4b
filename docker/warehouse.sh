#!/bin/sh
# Runs once, when the compose file's own warehouse is made: the source table, and a user who may do
# what the dag does and no more. docs/production.md says the same of a warehouse of yours.
set -e # no -u: where this file is not executable, the image sources it into a script of its own

psql --no-psqlrc --set=ON_ERROR_STOP=1 --set=user="$AIRFLOW_KOMBO_USER" \
    --set=password="$AIRFLOW_KOMBO_PASSWORD" --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
CREATE TABLE assessment_results (
    result_id        text PRIMARY KEY,
    assessment_date  date NOT NULL,
    completed_at     timestamptz NOT NULL,
    integration_id   text,
    candidate_id     text,
    application_id   text,
    assessment_name  text NOT NULL,
    result_url       text NOT NULL,
    score            numeric,
    max_score        numeric,
    duration_seconds integer,
    remote_fields    text
);
CREATE INDEX ON assessment_results (assessment_date);

CREATE ROLE :"user" LOGIN PASSWORD :'password';
GRANT SELECT ON assessment_results TO :"user";
-- It makes its own three tables on first use, and so owns them.
GRANT USAGE, CREATE ON SCHEMA public TO :"user";
SQL
