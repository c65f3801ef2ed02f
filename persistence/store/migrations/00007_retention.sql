-- +goose Up
-- When what terraform said and planned in a run, and its log, were removed: the run itself, its approvals and its audit stay.
ALTER TABLE runs ADD COLUMN pruned_at INTEGER;
CREATE INDEX runs_to_prune ON runs (ended_at, id) WHERE pruned_at IS NULL;
