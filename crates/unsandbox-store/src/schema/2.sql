-- SPDX-License-Identifier: MIT OR Apache-2.0
-- The webhooks of jobs, until each is delivered or given up. They outlive their jobs, whose retention may be shorter than
-- the time for which delivery is tried.
CREATE TABLE webhooks (
    -- That of its job.
    seq INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    url TEXT NOT NULL,
    -- How its job has ended, and when in Unix seconds.
    status TEXT,
    ended_at INTEGER,
    -- How often it was taken out to be delivered.
    attempts INTEGER NOT NULL DEFAULT 0,
    -- Milliseconds by the time of the store; NULL until its job has ended.
    due_ms INTEGER
);
CREATE INDEX webhooks_owner ON webhooks (owner);
CREATE INDEX webhooks_due ON webhooks (owner, due_ms) WHERE due_ms IS NOT NULL;

-- Here and not in the program, so that no end of a job is without it: a process of an earlier version may end jobs while
-- it hands over to this one.
CREATE TRIGGER webhooks_of_ended AFTER UPDATE OF ended_ms ON jobs WHEN OLD.ended_ms IS NULL AND NEW.ended_ms IS NOT NULL
BEGIN
    UPDATE webhooks SET status = NEW.status, ended_at = coalesce(NEW.completed_at, NEW.ended_ms / 1000), due_ms = NEW.ended_ms
    WHERE seq = NEW.seq;
END;
