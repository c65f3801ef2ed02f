-- +goose Up
-- Times are microseconds since 1970, UTC. Each column named "sealed" holds what the keyring sealed; its context is the table and the key.

CREATE TABLE meta (
    key    TEXT NOT NULL PRIMARY KEY,
    value  TEXT NOT NULL DEFAULT '',
    sealed BLOB
) STRICT;
-- The epoch is raised by whoever puts an older copy of the store back, so that fences of lost attempts never match again.
INSERT INTO meta (key, value) VALUES ('epoch', '1');

CREATE TABLE changes (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT    NOT NULL,
    key   TEXT    NOT NULL,
    at    INTEGER NOT NULL
) STRICT;
-- Transactions of PostgreSQL commit in any order, so a reader of the feed goes by the transaction, not by the sequence.
-- postgres: ALTER TABLE changes ADD COLUMN xid BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint);
-- postgres: CREATE INDEX changes_xid ON changes (xid);

-- The catalog.

CREATE TABLE databases (
    incarnation  TEXT    NOT NULL PRIMARY KEY,
    namespace    TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    revision     INTEGER NOT NULL,
    applied      INTEGER NOT NULL DEFAULT 0,
    active_run   TEXT    NOT NULL DEFAULT '',
    last_run     INTEGER NOT NULL DEFAULT 0,
    phase        TEXT    NOT NULL,
    message      TEXT    NOT NULL DEFAULT '',
    unmanaged    TEXT    NOT NULL DEFAULT '[]',
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    destroyed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX databases_living ON databases (namespace, name) WHERE destroyed_at IS NULL;
CREATE INDEX databases_active ON databases (namespace, name) WHERE active_run <> '';

CREATE TABLE revisions (
    incarnation  TEXT    NOT NULL,
    number       INTEGER NOT NULL,
    source       BLOB    NOT NULL,
    effective    TEXT    NOT NULL,
    draft        INTEGER NOT NULL,
    replace_used INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    actor        TEXT    NOT NULL,
    PRIMARY KEY (incarnation, number)
) STRICT;

CREATE TABLE runs (
    id             TEXT    NOT NULL PRIMARY KEY,
    namespace      TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    incarnation    TEXT    NOT NULL,
    number         INTEGER NOT NULL,
    kind           TEXT    NOT NULL,
    revision       INTEGER NOT NULL,
    phase          TEXT    NOT NULL,
    reason         TEXT    NOT NULL DEFAULT '',
    plan_digest    TEXT    NOT NULL DEFAULT '',
    needs_approval TEXT    NOT NULL DEFAULT '',
    yes            INTEGER NOT NULL,
    cancel         INTEGER NOT NULL DEFAULT 0,
    actor          TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    moved_at       INTEGER NOT NULL,
    ended_at       INTEGER,
    sealed         BLOB,
    UNIQUE (incarnation, number)
) STRICT;
CREATE INDEX runs_name ON runs (namespace, name, created_at);
CREATE INDEX runs_created ON runs (created_at);
CREATE INDEX runs_open ON runs (incarnation, number) WHERE ended_at IS NULL;

CREATE TABLE run_regions (
    run             TEXT    NOT NULL REFERENCES runs (id),
    region          TEXT    NOT NULL,
    phase           TEXT    NOT NULL,
    destroy         INTEGER NOT NULL,
    stack_digest    TEXT    NOT NULL,
    artifact        TEXT    NOT NULL,
    artifact_digest TEXT    NOT NULL,
    state_serial    INTEGER NOT NULL,
    plan_step       TEXT    NOT NULL,
    apply_step      TEXT    NOT NULL,
    plans           INTEGER NOT NULL,
    moved_at        INTEGER NOT NULL,
    sealed          BLOB,
    PRIMARY KEY (run, region)
) STRICT;

CREATE TABLE approvals (
    run       TEXT    NOT NULL REFERENCES runs (id),
    digest    TEXT    NOT NULL,
    actor     TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    dropped   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, digest)
) STRICT;

CREATE TABLE placements (
    stack       TEXT NOT NULL PRIMARY KEY,
    incarnation TEXT NOT NULL,
    address     TEXT UNIQUE,
    placement   TEXT NOT NULL
) STRICT;

CREATE TABLE secrets (
    incarnation TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    sealed      BLOB    NOT NULL,
    PRIMARY KEY (incarnation, name)
) STRICT;

CREATE TABLE endpoints (
    stack       TEXT NOT NULL PRIMARY KEY,
    incarnation TEXT NOT NULL,
    sealed      BLOB NOT NULL
) STRICT;

CREATE TABLE links (
    incarnation TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    phase       TEXT    NOT NULL,
    run_number  INTEGER NOT NULL,
    lag_us      INTEGER NOT NULL,
    verified_at INTEGER,
    sealed      BLOB    NOT NULL,
    PRIMARY KEY (incarnation, name)
) STRICT;

CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    actor     TEXT    NOT NULL,
    verb      TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    detail    TEXT    NOT NULL,
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    run       TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_name ON audit (namespace, name, seq);

-- What was done and met beside terraform's own words, for people.
CREATE TABLE run_log (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    run    TEXT    NOT NULL,
    part   TEXT    NOT NULL,
    level  TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    sealed BLOB    NOT NULL
) STRICT;
CREATE INDEX run_log_run ON run_log (run, seq);

-- The journal. A fence is (epoch, fence, attempt).

CREATE TABLE heads (
    stack       TEXT    NOT NULL PRIMARY KEY,
    incarnation TEXT    NOT NULL,
    epoch       INTEGER NOT NULL,
    fence       INTEGER NOT NULL,
    attempt     TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    step        TEXT    NOT NULL,
    run         TEXT    NOT NULL,
    desired     TEXT    NOT NULL,
    serial      INTEGER NOT NULL,
    lineage     TEXT    NOT NULL,
    shipped     INTEGER NOT NULL,
    step_base   INTEGER NOT NULL,
    site        TEXT    NOT NULL,
    runner_pid  INTEGER NOT NULL,
    boot_id     TEXT    NOT NULL,
    beat_at     INTEGER NOT NULL,
    terraform   TEXT    NOT NULL,
    template    TEXT    NOT NULL
) STRICT;
CREATE INDEX heads_incarnation ON heads (incarnation, stack);
CREATE INDEX heads_running ON heads (stack) WHERE status = 'running';

CREATE TABLE steps (
    id         TEXT    NOT NULL PRIMARY KEY,
    run        TEXT    NOT NULL,
    stack      TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    destroy    INTEGER NOT NULL,
    artifact   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    sealed     BLOB    NOT NULL
) STRICT;
CREATE INDEX steps_run ON steps (run, created_at);
CREATE INDEX steps_stack ON steps (stack);

CREATE TABLE results (
    step        TEXT    NOT NULL PRIMARY KEY REFERENCES steps (id),
    outcome     TEXT    NOT NULL,
    serial      INTEGER NOT NULL,
    artifact    TEXT    NOT NULL,
    finished_at INTEGER NOT NULL,
    sealed      BLOB    NOT NULL
) STRICT;

-- One row per batch. first_seq and last_seq count through the fence, step_first and step_last through the step.
CREATE TABLE events (
    stack      TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    first_seq  INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL,
    attempt    TEXT    NOT NULL,
    step       TEXT    NOT NULL,
    step_last  INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    PRIMARY KEY (stack, epoch, fence, first_seq)
) STRICT;
CREATE INDEX events_step ON events (step, step_last);

CREATE TABLE states (
    stack   TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    fence   INTEGER NOT NULL,
    serial  INTEGER NOT NULL,
    attempt TEXT    NOT NULL,
    lineage TEXT    NOT NULL,
    sha256  TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    sealed  BLOB    NOT NULL,
    PRIMARY KEY (stack, epoch, fence, serial)
) STRICT;

CREATE TABLE artifacts (
    id           TEXT    NOT NULL PRIMARY KEY,
    run          TEXT    NOT NULL,
    stack        TEXT    NOT NULL,
    digest       TEXT    NOT NULL,
    stack_digest TEXT    NOT NULL,
    state_serial INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    sealed       BLOB    NOT NULL,
    UNIQUE (run, stack, stack_digest, state_serial)
) STRICT;
