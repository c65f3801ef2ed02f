-- +goose Up
-- Pages of ten thousand databases are read without looking at each.
CREATE INDEX endpoints_incarnation ON endpoints (incarnation);
CREATE INDEX placements_incarnation ON placements (incarnation);
CREATE INDEX runs_namespace ON runs (namespace, created_at, number);
