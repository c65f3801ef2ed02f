-- +goose Up
-- An approval that was carried over from the plan that a person approved names that plan's digest.
ALTER TABLE approvals ADD COLUMN carried_from TEXT NOT NULL DEFAULT '';
