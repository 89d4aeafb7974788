-- SPDX-License-Identifier: MIT OR Apache-2.0
-- Names with values: the store's own name, its generation of keys, its last time.
CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;

-- The lease of each process that uses the store. Its id is in the name of a file that the process has locked: the
-- system gives the lock back when the process ends, however it ends.
CREATE TABLE processes (id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, since INTEGER NOT NULL);

-- No idempotency key of this generation or a later one was removed.
CREATE TABLE owners (owner TEXT PRIMARY KEY, whole_from INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    status TEXT NOT NULL,
    language TEXT,
    detected INTEGER NOT NULL,
    network_mode TEXT,
    -- Unix seconds, as replies have them.
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    completed_at INTEGER,
    rerun TEXT NOT NULL,
    -- How often it was started.
    attempts INTEGER NOT NULL DEFAULT 0,
    -- The process that runs it.
    process INTEGER,
    -- A process that does not run it was asked to cancel it.
    cancel INTEGER NOT NULL DEFAULT 0,
    key TEXT,
    fingerprint BLOB,
    generation INTEGER,
    request_bytes INTEGER NOT NULL,
    result_bytes INTEGER NOT NULL DEFAULT 0,
    -- Milliseconds by the time of the store; NULL until it has ended.
    ended_ms INTEGER
);
CREATE UNIQUE INDEX jobs_key ON jobs (owner, key) WHERE key IS NOT NULL;
CREATE INDEX jobs_unfinished ON jobs (owner, seq) WHERE ended_ms IS NULL;
CREATE INDEX jobs_pending ON jobs (seq) WHERE status = 'pending';
CREATE INDEX jobs_cancelled ON jobs (id) WHERE cancel = 1 AND ended_ms IS NULL;
CREATE INDEX jobs_of_process ON jobs (process) WHERE process IS NOT NULL;
CREATE INDEX jobs_ended ON jobs (ended_ms) WHERE ended_ms IS NOT NULL;
CREATE INDEX jobs_room ON jobs (owner, ended_ms, result_bytes) WHERE ended_ms IS NOT NULL;

-- The body of POST /execute, until the job has ended.
CREATE TABLE requests (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
-- The reply to GET /jobs/ID, once it has ended.
CREATE TABLE results (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
