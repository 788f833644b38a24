-- One schema for both databases. Words in double braces differ: see ../src/dialect.rs.
-- Times are UTC to the microsecond. Money is in picodollars (1e-12 USD). Hashes are lower-case hex.

-- Who we are to the provider: batches carry this tag, so that two installations on one account stay apart.
CREATE TABLE instance (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    tag TEXT NOT NULL,
    created_at {{ time }} NOT NULL
);

-- Texts that records point to, by content: a job keeps what it was given, whatever is loaded later.
CREATE TABLE record_bodies (
    sha256 TEXT PRIMARY KEY,
    payload TEXT NOT NULL
);

-- What a source yields, by its stable key.
CREATE TABLE records (
    key TEXT PRIMARY KEY,                -- org/repo#number
    custom_id TEXT NOT NULL,
    org TEXT NOT NULL,
    repo TEXT NOT NULL,
    number BIGINT NOT NULL,
    title TEXT NOT NULL,
    state TEXT,
    path TEXT NOT NULL,                  -- where it was read
    sha256 TEXT NOT NULL REFERENCES record_bodies (sha256),
    loaded_at {{ time }} NOT NULL
);
CREATE INDEX records_repo ON records (org, repo, number);

-- What somebody asked for.
CREATE TABLE batch_jobs (
    id {{ id }} PRIMARY KEY,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,                 -- held, queued, active, cancelling, or the outcome
    hold_reason TEXT,
    hold_until {{ time }},
    version BIGINT NOT NULL,
    provider TEXT NOT NULL,              -- sim or openai
    processor TEXT NOT NULL,
    processor_version BIGINT NOT NULL,
    definition TEXT NOT NULL,            -- the processor as it was: editing its file changes no job
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    source TEXT NOT NULL,                -- in words
    selection_query TEXT,
    parent_job_id {{ id }},              -- the job whose failed tasks it takes up again
    idempotency_key TEXT UNIQUE,         -- the caller's word for its wish
    idempotency_hash TEXT,               -- of the wish: the same key with another one is refused
    run_id {{ id }},                     -- the run of a schedule that made it
    run_part TEXT,                       -- which of the run's jobs: the agent
    trace TEXT NOT NULL,                 -- its place in a trace: a W3C traceparent
    priority BIGINT NOT NULL,
    labels {{ json }},
    metadata {{ json }},
    total BIGINT NOT NULL,
    succeeded BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    expired BIGINT NOT NULL DEFAULT 0,
    cancelled BIGINT NOT NULL DEFAULT 0,
    missing BIGINT NOT NULL DEFAULT 0,
    plan_cursor BIGINT NOT NULL DEFAULT 0, -- last task that this round of planning has seen
    round BIGINT NOT NULL DEFAULT 1,
    round_attempts BIGINT NOT NULL DEFAULT 0,
    input_tokens BIGINT NOT NULL DEFAULT 0,
    cached_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    cost BIGINT NOT NULL DEFAULT 0,
    normal_cost BIGINT NOT NULL DEFAULT 0,
    unpriced BIGINT NOT NULL DEFAULT 0,  -- requests whose cost nobody knows; they are not in the sums
    estimate_input_tokens BIGINT,
    estimate_output_tokens BIGINT,
    estimate_cost BIGINT,                -- null: no price is known
    estimate_normal_cost BIGINT,
    prices_of TEXT NOT NULL,             -- date of the price table
    event_sequence BIGINT NOT NULL DEFAULT 0,
    last_error TEXT,
    created_at {{ time }} NOT NULL,
    submitted_at {{ time }},
    ended_at {{ time }},
    updated_at {{ time }} NOT NULL,
    updated_by TEXT NOT NULL             -- the write that touched it last
);
CREATE INDEX batch_jobs_state ON batch_jobs (state, created_at);
-- A run that is taken up again accepts no job twice.
CREATE UNIQUE INDEX batch_jobs_run ON batch_jobs (run_id, run_part) WHERE run_id IS NOT NULL;

-- One provider batch each.
CREATE TABLE batches (
    id {{ id }} PRIMARY KEY,
    job_id {{ id }} NOT NULL REFERENCES batch_jobs (id),
    number BIGINT NOT NULL,              -- within the job, from 1
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    requests BIGINT NOT NULL,
    bytes BIGINT NOT NULL,               -- of the input file
    upload BIGINT NOT NULL,              -- which upload of the input file, from 1
    cancel {{ bool }} NOT NULL,
    file_id TEXT,                        -- of a create that is under way or in doubt, or of the open batch
    create_deadline {{ time }},
    absent_looks BIGINT NOT NULL DEFAULT 0,
    absent_since {{ time }},
    provider_id TEXT,
    provider_end TEXT,
    parked TEXT,
    remote_status TEXT,
    remote_total BIGINT NOT NULL DEFAULT 0,
    remote_completed BIGINT NOT NULL DEFAULT 0,
    remote_failed BIGINT NOT NULL DEFAULT 0,
    output_file_id TEXT,
    error_file_id TEXT,
    remote_created_at {{ time }},
    expires_at {{ time }},
    remote_ended_at {{ time }},
    last_error TEXT,
    created_at {{ time }} NOT NULL,
    updated_at {{ time }} NOT NULL,
    updated_by TEXT NOT NULL,
    UNIQUE (job_id, number)
);
CREATE UNIQUE INDEX batches_provider ON batches (provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX batches_created ON batches (remote_created_at) WHERE remote_created_at IS NOT NULL;

-- One request line of a job each; narrow, since status queries walk it.
CREATE TABLE batch_job_tasks (
    id {{ id }} PRIMARY KEY,
    batch_job_id {{ id }} NOT NULL REFERENCES batch_jobs (id),
    seq BIGINT NOT NULL,                 -- within the job, from 1
    custom_id TEXT NOT NULL,
    record_key TEXT NOT NULL,
    record_sha256 TEXT NOT NULL,
    processor TEXT NOT NULL,
    task_id TEXT,                        -- the backlog task, if it came from one
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    attempt_id {{ id }},                 -- the attempt that gave it its outcome
    error_class TEXT,
    error_message TEXT,
    created_at {{ time }} NOT NULL,
    updated_at {{ time }} NOT NULL,
    UNIQUE (batch_job_id, custom_id),
    UNIQUE (batch_job_id, seq)
);
CREATE INDEX batch_job_tasks_status ON batch_job_tasks (batch_job_id, status, seq);
CREATE INDEX batch_job_tasks_record ON batch_job_tasks (processor, record_key);
-- What failed, of all jobs, is looked for by reason and age; what became of a backlog task, by its id.
CREATE INDEX batch_job_tasks_badly ON batch_job_tasks (error_class, updated_at)
    WHERE status IN ('failed', 'expired', 'missing');
CREATE INDEX batch_job_tasks_task ON batch_job_tasks (task_id) WHERE task_id IS NOT NULL;

-- The rendered request bodies: frozen when planned, never updated.
CREATE TABLE task_requests (
    task_id {{ id }} PRIMARY KEY REFERENCES batch_job_tasks (id),
    body TEXT NOT NULL
);

-- One trip of a task through one batch each.
CREATE TABLE attempts (
    id {{ id }} PRIMARY KEY,
    task_id {{ id }} NOT NULL REFERENCES batch_job_tasks (id),
    job_id {{ id }} NOT NULL,
    batch_id {{ id }} NOT NULL REFERENCES batches (id),
    line BIGINT NOT NULL,                -- in the input file, from 1
    number BIGINT NOT NULL,              -- of the task, from 1
    custom_id TEXT NOT NULL,
    processor TEXT NOT NULL,
    record_key TEXT NOT NULL,
    state TEXT NOT NULL,
    http_status BIGINT,
    request_id TEXT,
    error_class TEXT,
    error_code TEXT,
    error_message TEXT,
    input_tokens BIGINT,
    cached_tokens BIGINT,
    output_tokens BIGINT,
    reasoning_tokens BIGINT,
    cost BIGINT,                         -- null: not known
    normal_cost BIGINT,
    created_at {{ time }} NOT NULL,
    ended_at {{ time }},
    UNIQUE (batch_id, line)
);
-- A record is on its way once per processor, across jobs: the schema itself refuses to pay twice.
CREATE UNIQUE INDEX attempts_live ON attempts (processor, record_key) WHERE state = 'live';
CREATE INDEX attempts_task ON attempts (task_id);

-- What the provider answered, byte for byte, and what the processor read from it.
CREATE TABLE answers (
    attempt_id {{ id }} PRIMARY KEY REFERENCES attempts (id),
    response TEXT NOT NULL,
    result TEXT
);

-- What each entity waits for next: at most one row each.
CREATE TABLE orders (
    entity_id {{ id }} PRIMARY KEY,
    job_id {{ id }} NOT NULL,
    lane TEXT NOT NULL,
    priority BIGINT NOT NULL,
    seq BIGINT NOT NULL,                 -- rises with every new order and every nudge
    due_at {{ time }} NOT NULL,
    send_at {{ time }} NOT NULL,         -- due_at, or later once it was sent and nobody answered
    sends BIGINT NOT NULL DEFAULT 0,
    lease_until {{ time }},
    fence BIGINT NOT NULL DEFAULT 0,     -- rises with every claim
    failures BIGINT NOT NULL DEFAULT 0,  -- of its handler
    outages BIGINT NOT NULL DEFAULT 0,   -- in a row: the world was to blame
    last_error TEXT
);
CREATE INDEX orders_due ON orders (lane, send_at);

-- What outsiders hear.
CREATE TABLE events (
    id {{ id }} PRIMARY KEY,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    job_id {{ id }},                     -- an event belongs to a job, to a schedule, or to a command from outside
    schedule TEXT,
    command {{ id }},
    sequence BIGINT NOT NULL,            -- within what it belongs to, from 1
    data {{ json }} NOT NULL,
    trace TEXT,                          -- a W3C traceparent
    created_at {{ time }} NOT NULL,
    published_at {{ time }},
    CHECK (CASE WHEN job_id IS NULL THEN 0 ELSE 1 END + CASE WHEN schedule IS NULL THEN 0 ELSE 1 END
           + CASE WHEN command IS NULL THEN 0 ELSE 1 END = 1),
    UNIQUE (job_id, sequence),
    UNIQUE (schedule, sequence),
    UNIQUE (command, sequence)
);
CREATE INDEX events_unpublished ON events (created_at) WHERE published_at IS NULL;
CREATE INDEX events_in_time ON events (created_at);

-- Work that one process does at a time, to save work: nothing is wrong where two do it.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder {{ id }} NOT NULL,
    until {{ time }} NOT NULL
);

-- Rules that collect the backlog: one for all repositories, and those of single ones.
CREATE TABLE schedules (
    name TEXT PRIMARY KEY,               -- overnight, or repo:ORG/REPO
    repo TEXT UNIQUE,                    -- null: all that have no schedule of their own
    hour BIGINT NOT NULL,                -- local
    zone TEXT NOT NULL,                  -- IANA
    max_tasks BIGINT NOT NULL,           -- of one run
    priority TEXT NOT NULL,              -- high, medium, low
    next_at {{ time }},                  -- due then; null: switched off
    next_date TEXT,                      -- the local date that it is for
    last_date TEXT,                      -- the latest date on record
    paused_at {{ time }},
    paused_reason TEXT,
    removed {{ bool }} NOT NULL,         -- its runs stay
    version BIGINT NOT NULL,
    event_sequence BIGINT NOT NULL DEFAULT 0,
    created_at {{ time }} NOT NULL,
    updated_at {{ time }} NOT NULL
);
CREATE INDEX schedules_due ON schedules (next_at);

-- Firings, and nights that passed without one.
CREATE TABLE schedule_runs (
    id {{ id }} PRIMARY KEY,
    schedule TEXT NOT NULL REFERENCES schedules (name),
    trigger TEXT NOT NULL,               -- scheduled or manual
    slot_at {{ time }} NOT NULL,
    slot_date TEXT NOT NULL,             -- local
    state TEXT NOT NULL,                 -- started, finished, skipped, missed
    max_tasks BIGINT NOT NULL,
    selected BIGINT NOT NULL DEFAULT 0,  -- pending tasks that it took up, within max_tasks
    jobs BIGINT NOT NULL DEFAULT 0,
    tasks BIGINT NOT NULL DEFAULT 0,     -- of its jobs
    left_over BIGINT NOT NULL DEFAULT 0, -- pending tasks that were its to take and stayed
    reason TEXT,                         -- why it was skipped or missed, or tasks stayed
    lease_until {{ time }},
    fence BIGINT NOT NULL DEFAULT 0,     -- rises with every claim
    failures BIGINT NOT NULL DEFAULT 0,
    created_at {{ time }} NOT NULL,
    finished_at {{ time }}
);
-- One night a date; people may run it as often as they like.
CREATE UNIQUE INDEX schedule_runs_night ON schedule_runs (schedule, slot_date) WHERE trigger = 'scheduled';
CREATE INDEX schedule_runs_open ON schedule_runs (created_at) WHERE state = 'started';

-- What was found about a provider, when it was probed.
CREATE TABLE probes (
    id {{ id }} PRIMARY KEY,
    provider TEXT NOT NULL,              -- sim or openai
    address TEXT NOT NULL,               -- where it was
    model TEXT NOT NULL,
    findings TEXT NOT NULL,              -- JSON: check, assumption, holds (yes, no, unknown), detail
    ended_at {{ time }} NOT NULL
);
CREATE INDEX probes_latest ON probes (provider, address, ended_at);

-- Who may use the API. The token itself is kept nowhere.
CREATE TABLE api_tokens (
    name TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,           -- SHA-256 of the token
    role TEXT NOT NULL,                  -- viewer, operator or admin
    created_at {{ time }} NOT NULL,
    last_used_at {{ time }}
);

-- Views for people who query.

CREATE VIEW issues AS
SELECT r.key AS id, r.org, r.repo, r.number, r.title, r.state, r.path, r.loaded_at,
       {{ json_text("b.payload", "issue", "body") }} AS body,
       {{ json_text("b.payload", "issue", "created_at") }} AS created_at,
       {{ json_text("b.payload", "issue", "updated_at") }} AS updated_at,
       {{ json_text("b.payload", "issue", "labels") }} AS labels
FROM records r JOIN record_bodies b ON b.sha256 = r.sha256;

CREATE VIEW batch_items AS
SELECT t.id, t.batch_job_id,
       -- A backlog task's key is its own; its payload says which issue it is about.
       CASE WHEN t.task_id IS NULL THEN t.record_key
            ELSE {{ json_field("b.payload", "org") }} || '/' || {{ json_field("b.payload", "repo") }}
                 || '#' || {{ json_text("b.payload", "issue", "number") }} END AS issue_id,
       t.record_key, t.task_id, t.custom_id, t.status, a.result, t.error_class, t.error_message, t.created_at
FROM batch_job_tasks t
LEFT JOIN answers a ON a.attempt_id = t.attempt_id
LEFT JOIN record_bodies b ON b.sha256 = t.record_sha256 AND t.task_id IS NOT NULL;

CREATE VIEW results AS
SELECT t.batch_job_id AS job_id, t.custom_id, t.record_key, t.task_id,
       coalesce(r.org, {{ json_field("b.payload", "org") }}) AS org,
       coalesce(r.repo, {{ json_field("b.payload", "repo") }}) AS repo,
       coalesce(r.number, CAST({{ json_text("b.payload", "issue", "number") }} AS BIGINT)) AS number,
       j.processor, j.processor_version, j.model, a.result, a.response,
       p.input_tokens, p.output_tokens, p.cost / 1e12 AS cost_usd, p.ended_at
FROM batch_job_tasks t
JOIN batch_jobs j ON j.id = t.batch_job_id
JOIN attempts p ON p.id = t.attempt_id
JOIN answers a ON a.attempt_id = p.id
LEFT JOIN records r ON r.key = t.record_key
-- Tasks of the backlog have no record, and are about the issue in their payload.
LEFT JOIN record_bodies b ON b.sha256 = t.record_sha256 AND t.task_id IS NOT NULL
WHERE t.status = 'succeeded';

-- The flat shape: a job with the files of its last batch, and all of its provider ids in one column.
CREATE VIEW batch_job_overview AS
SELECT j.id, j.id AS job_id, j.kind AS job_type, j.provider, j.processor, j.model,
       CASE WHEN j.state IN ('completed', 'completed_with_errors') THEN 'completed'
            WHEN j.state IN ('failed', 'expired', 'cancelled') THEN j.state
            -- Of all batches: one that is planned behind others doesn't undo what they are.
            WHEN NOT EXISTS (SELECT 1 FROM batches x WHERE x.job_id = j.id AND x.provider_id IS NOT NULL)
                THEN 'pending'
            WHEN NOT EXISTS (SELECT 1 FROM batches x WHERE x.job_id = j.id AND x.provider_id IS NOT NULL
                             AND coalesce(x.remote_status, '') <> 'validating') THEN 'submitted'
            ELSE 'in_progress' END AS status,
       (SELECT {{ list("x.provider_id") }} FROM batches x WHERE x.job_id = j.id) AS openai_batch_id,
       b.file_id AS input_file_id, b.output_file_id, b.error_file_id,
       j.total AS total_requests, j.succeeded AS completed_requests,
       j.failed + j.expired + j.cancelled + j.missing AS failed_requests,
       j.total AS issues_count, j.succeeded AS completed_count,
       j.failed + j.expired + j.cancelled + j.missing AS failed_count,
       j.submitted_at, j.ended_at AS completed_at, b.expires_at, j.metadata,
       j.estimate_cost / 1e12 AS cost_estimate,
       -- Null where nothing of the cost is known; where some of it is, unknown_costs says how much is not.
       CASE WHEN j.unpriced = 0 OR j.cost > 0 THEN j.cost / 1e12 END AS cost_usd,
       CASE WHEN j.unpriced = 0 OR j.cost > 0 THEN j.normal_cost / 1e12 END AS normal_cost_usd,
       j.unpriced AS unknown_costs,
       j.selection_query, coalesce(j.last_error, b.last_error) AS error_message, j.created_at
FROM batch_jobs j
LEFT JOIN batches b ON b.job_id = j.id
     AND b.number = (SELECT max(x.number) FROM batches x WHERE x.job_id = j.id);

{{ large_bodies }}
