-- +goose Up
-- Where runners work: one kernel with one work directory and one lock directory. dead_at says that an operator answers for it that
-- nothing of the site's boot runs any more.
CREATE TABLE sites (
    id      TEXT    NOT NULL PRIMARY KEY,
    boot_id TEXT    NOT NULL,
    host    TEXT    NOT NULL,
    since   INTEGER NOT NULL,
    dead_at INTEGER,
    dead_by TEXT    NOT NULL DEFAULT ''
) STRICT;

-- A number that grows with each sign of life of the head's attempt: whoever watches it goes by its own clock, not by the writer's.
ALTER TABLE heads ADD COLUMN beats INTEGER NOT NULL DEFAULT 0;
