-- The backlog, made only where the platform has no table and no view of that name; docs/integration.md is the
-- contract. It is the platform's to shape, so it has no version.
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    repo TEXT,
    agent_type TEXT NOT NULL,            -- planner, coder, fixer, reviewer, or a processor's name
    status TEXT NOT NULL DEFAULT 'pending', -- pending, batched, completed, failed; others are not ours
    priority BIGINT NOT NULL DEFAULT 0,  -- higher goes first
    payload TEXT NOT NULL,               -- JSON: what the processor's template reads
    batch_job_id {{ id }},               -- the job that has claimed it
    result TEXT,                         -- JSON: the answer, once completed
    error TEXT,                          -- JSON: class and message, once failed
    created_at {{ time }} NOT NULL,
    updated_at {{ time }} NOT NULL
);
CREATE INDEX IF NOT EXISTS tasks_pending ON tasks (agent_type, priority, created_at) WHERE status = 'pending';
