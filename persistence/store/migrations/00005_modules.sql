-- +goose Up
-- Foreign modules with all that they call, as they were when their source was resolved; by content, so that regions share them.
CREATE TABLE packages (
    digest     TEXT    NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    sealed     BLOB    NOT NULL
) STRICT;

-- What a region of a revision is made of. source is what was asked for, as JSON; archive the digest of what a client packed, resolved the
-- commit or the exact version.
CREATE TABLE region_packages (
    incarnation TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    region      TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    archive     TEXT    NOT NULL,
    resolved    TEXT    NOT NULL,
    digest      TEXT    NOT NULL,
    PRIMARY KEY (incarnation, revision, region)
) STRICT;

-- The databases that the newest revision of a database depends on.
CREATE TABLE dependencies (
    incarnation TEXT NOT NULL,
    namespace   TEXT NOT NULL,
    name        TEXT NOT NULL,
    PRIMARY KEY (incarnation, namespace, name)
) STRICT;
CREATE INDEX dependencies_by_name ON dependencies (namespace, name);
