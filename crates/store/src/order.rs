//! Orders: what is due, who has claimed it, and when it is sent again.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Claimed, Command, JobId, Lane, NextOrder, Time, resend_after};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::sql::Sql;
use crate::{Store, StoreError};

/// An order to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueOrder {
    /// What to do.
    pub command: Command,
    /// Its sequence number: a message carries it, and finds nothing to do once it has changed.
    pub seq: i64,
    sends: u32,
}

/// How a claim is given back without a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// The state doesn't wait for this command: the order goes, unless somebody nudged it.
    Done,
    /// Not yet: due again at this time.
    Later(Time),
    /// It failed: due again at this time, and counted.
    Failed(Time, String),
    /// It failed for reasons outside (an outage): due again at this time, not counted.
    Outage(Time, String),
}

/// A job is run by the provider that it was submitted to, and by no other: whoever submitted it said who may
/// spend money on it. Jobs that have ended count, too: a batch that turns up late is still to be cancelled.
fn of_provider(parameter: &str) -> String {
    format!("job_id IN (SELECT id FROM batch_jobs WHERE provider = {parameter})")
}

impl Store {
    /// Orders of a lane to send now, of the jobs that `provider` runs: the most urgent first, then one of
    /// each job in turn.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn due_orders(
        &self,
        lane: Lane,
        provider: &str,
        limit: usize,
    ) -> Result<Vec<DueOrder>, StoreError> {
        let (now, of) = (self.dialect.now(), of_provider("$2"));
        let text = format!(
            "SELECT entity_id, seq, sends FROM ( \
                SELECT entity_id, seq, sends, priority, send_at, \
                    ROW_NUMBER() OVER (PARTITION BY job_id ORDER BY send_at, entity_id) AS turn \
                FROM orders WHERE lane = $1 AND {of} AND send_at <= {now} AND (lease_until IS NULL OR lease_until <= {now}) \
             ) AS due ORDER BY priority DESC, turn, send_at, entity_id LIMIT $3"
        );
        let rows = self
            .sql("due_orders", text)
            .text(lane.as_str())
            .text(provider)
            .int(i64::try_from(limit).unwrap_or(i64::MAX));
        rows.all(&self.connection)
            .await?
            .iter()
            .map(|row| {
                let command = Command::new(lane, row.id("entity_id")?);
                Ok(DueOrder { command, seq: row.int("seq")?, sends: row.small("sends")? })
            })
            .collect()
    }

    /// Puts sent orders off: they are sent again unless somebody answers.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn put_off(&self, sent: &[DueOrder]) -> Result<(), StoreError> {
        let mut by_sends: BTreeMap<u32, Vec<Uuid>> = BTreeMap::new();
        for order in sent {
            by_sends.entry(order.sends + 1).or_default().push(order.command.entity());
        }
        for (sends, entities) in by_sends {
            let later = self.dialect.now_plus_ms("$2");
            let text = format!(
                "UPDATE orders SET sends = $1, send_at = {later} WHERE sends = $1 - 1 AND entity_id IN ("
            );
            let sql = self.sql("put_off", text).int(sends).int(millis(resend_after(sends)));
            sql.ids(entities).then(")").run(&self.connection).await?;
        }
        Ok(())
    }

    /// When the next order of the jobs that `provider` runs is to be sent; none where nobody waits.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn next_send(&self, provider: &str) -> Result<Option<Time>, StoreError> {
        // A claimed order is sent once its lease has run out, and not before.
        let at = "CASE WHEN lease_until > send_at THEN lease_until ELSE send_at END";
        let text = format!("SELECT min({at}) AS at FROM orders WHERE {}", of_provider("$1"));
        let row = self.sql("next_send", text).text(provider).one(&self.connection).await?;
        row.map_or(Ok(None), |row| row.get("at"))
    }

    /// Whether an order of the jobs that `provider` runs is due or in somebody's hands.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn busy(&self, provider: &str) -> Result<bool, StoreError> {
        let (now, of) = (self.dialect.now(), of_provider("$1"));
        let text = format!(
            "SELECT count(*) AS n FROM orders WHERE (due_at <= {now} OR lease_until > {now}) AND {of}"
        );
        let row = self.sql("busy", text).text(provider).one(&self.connection).await?;
        row.map_or(Ok(false), |row| Ok(row.count("n")? > 0))
    }

    /// Claims an order for `lease`, unless it was answered, nudged or claimed since it was sent.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn claim(
        &self,
        command: Command,
        seq: i64,
        lease: Duration,
    ) -> Result<Option<Claimed>, StoreError> {
        let text = format!(
            "UPDATE orders SET lease_until = {later}, fence = fence + 1 \
             WHERE entity_id = $1 AND lane = $2 AND seq = $3 AND due_at <= {now} \
             AND (lease_until IS NULL OR lease_until <= {now}) \
             RETURNING fence, failures, outages",
            later = self.dialect.now_plus_ms("$4"),
            now = self.dialect.now(),
        );
        let sql = self.sql("claim", text).id(command.entity()).text(command.lane().as_str()).int(seq);
        let row = sql.int(millis(lease)).one(&self.connection).await?;
        row.map(|row| {
            let (failures, outages) = (row.small("failures")?, row.small("outages")?);
            Ok(Claimed { command, seq, fence: row.int("fence")?, failures, outages })
        })
        .transpose()
    }

    /// Renews a claim; false where somebody else has claimed it since.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn renew(&self, claimed: &Claimed, lease: Duration) -> Result<bool, StoreError> {
        let later = self.dialect.now_plus_ms("$3");
        let text = format!("UPDATE orders SET lease_until = {later} WHERE entity_id = $1 AND fence = $2");
        let sql = self.sql("renew", text).id(claimed.command.entity()).int(claimed.fence).int(millis(lease));
        Ok(sql.run(&self.connection).await? == 1)
    }

    /// Gives a claim back. Where somebody nudged the order meanwhile, the nudge stays.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn release(&self, claimed: &Claimed, release: Release) -> Result<(), StoreError> {
        let entity = claimed.command.entity();
        let (failures, outages) = (i64::from(claimed.failures), i64::from(claimed.outages));
        let (due, failures, outages, error) = match release {
            Release::Done => {
                let text = "DELETE FROM orders WHERE entity_id = $1 AND seq = $2 AND fence = $3";
                let sql = self.sql("release", text).id(entity).int(claimed.seq).int(claimed.fence);
                sql.run(&self.connection).await?;
                return unlease(self.dialect, &self.connection, claimed).await;
            }
            Release::Later(due) => (due, 0, 0, None),
            Release::Failed(due, error) => (due, failures + 1, outages, Some(error)),
            Release::Outage(due, error) => (due, failures, outages + 1, Some(error)),
        };
        let text = "UPDATE orders SET due_at = $4, send_at = $4, sends = 0, failures = $5, outages = $6, \
            last_error = $7 WHERE entity_id = $1 AND seq = $2 AND fence = $3";
        let sql =
            self.sql("release", text).id(entity).int(claimed.seq).int(claimed.fence).time(due).int(failures);
        sql.int(outages).text_or_null(error.as_deref()).run(&self.connection).await?;
        unlease(self.dialect, &self.connection, claimed).await
    }

    /// Forgets all claims and sendings: for the one process that owns its database, right after it
    /// started, when nobody else can be at work.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn forget_claims(&self) -> Result<u64, StoreError> {
        let text = "UPDATE orders SET lease_until = NULL, sends = 0, send_at = due_at \
            WHERE lease_until IS NOT NULL OR sends > 0";
        self.sql("forget_claims", text).run(&self.connection).await
    }

    /// Makes due what rests in the submit lane, of the jobs that `provider` runs: for a start, which is how
    /// people say that they have mended a key, an account or a switch.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn wake_submits(&self, provider: &str) -> Result<u64, StoreError> {
        let text = format!(
            "UPDATE orders SET due_at = $2, send_at = $2, sends = 0 WHERE lane = 'submit' AND due_at > $2 AND {}",
            of_provider("$1")
        );
        self.sql("wake_submits", text).text(provider).time(self.clock.now()).run(&self.connection).await
    }

    /// Gives every batch of a job that waits for a stage and has no order the order of its state. There is
    /// none by the rules; this is for the day on which the rules are wrong. Answers how many there were.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn place_lost_orders(&self, job: JobId) -> Result<u64, StoreError> {
        let text = "INSERT INTO orders (entity_id, job_id, lane, priority, seq, due_at, send_at) \
            SELECT b.id, b.job_id, CASE b.state WHEN 'open' THEN 'poll' WHEN 'collecting' THEN 'collect' \
                ELSE 'submit' END, j.priority, 1, $2, $2 \
            FROM batches b JOIN batch_jobs j ON j.id = b.job_id WHERE b.job_id = $1 \
                AND b.state IN ('planned', 'creating', 'unknown', 'fencing', 'fenced', 'open', 'collecting') \
                AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.entity_id = b.id) \
            ON CONFLICT (entity_id) DO NOTHING";
        self.sql("place_lost_orders", text).id(job.0).time(self.clock.now()).run(&self.connection).await
    }

    /// Makes what an entity waits for due now.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn nudge(&self, entity: Uuid) -> Result<bool, StoreError> {
        nudge(self.dialect, &self.connection, entity, self.clock.now(), None).await
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

async fn unlease(dialect: Dialect, on: &impl ConnectionTrait, claimed: &Claimed) -> Result<(), StoreError> {
    let text = "UPDATE orders SET lease_until = NULL WHERE entity_id = $1 AND fence = $2";
    Sql::new(dialect, "release", text).id(claimed.command.entity()).int(claimed.fence).run(on).await?;
    Ok(())
}

/// Makes what an entity waits for due now. The sequence number rises, so that whoever holds the older
/// order can't bury this.
pub(crate) async fn nudge(
    dialect: Dialect,
    on: &impl ConnectionTrait,
    entity: Uuid,
    now: Time,
    lane: Option<Lane>,
) -> Result<bool, StoreError> {
    let text = "UPDATE orders SET seq = seq + 1, due_at = $2, send_at = $2, sends = 0 \
        WHERE entity_id = $1 AND ($3 = '' OR lane = $3)";
    let sql = Sql::new(dialect, "nudge", text).id(entity).time(now);
    Ok(sql.text(lane.map_or("", Lane::as_str)).run(on).await? > 0)
}

/// Puts what an entity waits for in its place, inside the commit that decides it: the commit is the
/// acknowledgement. `claimed` is the order that this answers, if it answers one.
pub(crate) async fn place(
    dialect: Dialect,
    on: &DatabaseTransaction,
    entity: Uuid,
    job: JobId,
    next: NextOrder,
    claimed: Option<&Claimed>,
    priority: i64,
) -> Result<(), StoreError> {
    match (next, claimed) {
        (NextOrder::Nothing, _) => {
            Sql::new(dialect, "place", "DELETE FROM orders WHERE entity_id = $1").id(entity).run(on).await?;
            Ok(())
        }
        (NextOrder::Keep, Some(claimed)) => unlease(dialect, on, claimed).await,
        (NextOrder::Keep, None) => Ok(()),
        (NextOrder::Due(lane, due), Some(claimed)) => {
            let replaced = replace(dialect, on, claimed, lane, due).await?;
            if replaced || relane(dialect, on, claimed, lane).await? {
                return Ok(());
            }
            upsert(dialect, on, entity, job, lane, due, priority).await
        }
        (NextOrder::Due(lane, due), None) => upsert(dialect, on, entity, job, lane, due, priority).await,
    }
}

/// The order that was claimed gives way to the next one. The fence rises with it: whoever held the older one
/// may renew no lease on this.
async fn replace(
    dialect: Dialect,
    on: &DatabaseTransaction,
    claimed: &Claimed,
    lane: Lane,
    due: Time,
) -> Result<bool, StoreError> {
    let text = "UPDATE orders SET lane = $3, due_at = $4, send_at = $4, seq = seq + 1, sends = 0, failures = 0, \
        outages = 0, fence = fence + 1, lease_until = NULL, last_error = NULL WHERE entity_id = $1 AND seq = $2";
    let sql = Sql::new(dialect, "place", text).id(claimed.command.entity()).int(claimed.seq);
    Ok(sql.text(lane.as_str()).time(due).run(on).await? == 1)
}

/// Somebody nudged the order since it was claimed: it stays due now, in the lane of the new state.
async fn relane(
    dialect: Dialect,
    on: &DatabaseTransaction,
    claimed: &Claimed,
    lane: Lane,
) -> Result<bool, StoreError> {
    let text = "UPDATE orders SET lane = $2, seq = seq + 1, fence = fence + 1, lease_until = NULL WHERE entity_id = $1";
    let sql = Sql::new(dialect, "place", text).id(claimed.command.entity()).text(lane.as_str());
    Ok(sql.run(on).await? == 1)
}

async fn upsert(
    dialect: Dialect,
    on: &DatabaseTransaction,
    entity: Uuid,
    job: JobId,
    lane: Lane,
    due: Time,
    priority: i64,
) -> Result<(), StoreError> {
    let text = "INSERT INTO orders (entity_id, job_id, lane, priority, seq, due_at, send_at) \
        VALUES ($1, $2, $3, $4, 1, $5, $5) \
        ON CONFLICT (entity_id) DO UPDATE SET lane = excluded.lane, due_at = excluded.due_at, \
        send_at = excluded.send_at, seq = orders.seq + 1, sends = 0, failures = 0, outages = 0, \
        fence = orders.fence + 1, lease_until = NULL, last_error = NULL";
    let sql = Sql::new(dialect, "place", text).id(entity).id(job.0).text(lane.as_str()).int(priority);
    sql.time(due).run(on).await?;
    Ok(())
}
