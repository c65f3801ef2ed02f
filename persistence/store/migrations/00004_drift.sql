-- +goose Up
-- Looks at what the world is, beside runs: they take no turn and no lock. ended_at is NULL while one is at work.
CREATE TABLE drift_checks (
    id          TEXT    NOT NULL PRIMARY KEY,
    incarnation TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    actor       TEXT    NOT NULL,
    workflow    TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    outcome     TEXT    NOT NULL DEFAULT '',
    found       INTEGER NOT NULL DEFAULT 0,
    print       TEXT    NOT NULL DEFAULT '',
    remedy      TEXT    NOT NULL DEFAULT '',
    sealed      BLOB    NOT NULL
) STRICT;
CREATE INDEX drift_checks_incarnation ON drift_checks (incarnation, started_at);
CREATE INDEX drift_checks_open ON drift_checks (id) WHERE ended_at IS NULL;

-- What one look at one part of a database (a region's stack, its inside, a link) found.
CREATE TABLE drift_parts (
    drift_check TEXT NOT NULL REFERENCES drift_checks (id),
    part        TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    sealed      BLOB NOT NULL,
    PRIMARY KEY (drift_check, part)
) STRICT;

-- What people said of drift: a pattern that is none, or a key whose value of then was accepted.
CREATE TABLE drift_rules (
    incarnation TEXT    NOT NULL,
    pattern     TEXT    NOT NULL,
    verb        TEXT    NOT NULL,
    actor       TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    sealed      BLOB    NOT NULL,
    PRIMARY KEY (incarnation, pattern, verb)
) STRICT;

-- The check whose drift a run puts back.
ALTER TABLE runs ADD COLUMN remedy TEXT NOT NULL DEFAULT '';
