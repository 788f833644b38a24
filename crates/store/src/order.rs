//! Orders: what is due, who has claimed it, and when it is sent again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use chrono::TimeDelta;
use crash::Step;
use domain::{BatchId, Claimed, Command, JobId, Lane, NextOrder, Time, Trace, resend_after};
use sea_orm::{DatabaseTransaction, Value};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::sql::{Row, Sql};
use crate::{CHUNK, Store, StoreError, event};

/// An order to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueOrder {
    /// What to do.
    pub command: Command,
    /// Its sequence number: a message carries it, and finds nothing to do once it has changed.
    pub seq: i64,
    /// Its job's place in a trace.
    pub trace: Trace,
    /// When the provider created its batch, where it has.
    pub created: Option<Time>,
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
            "SELECT entity_id, seq, sends, (SELECT j.trace FROM batch_jobs j WHERE j.id = first.job_id) AS trace, \
                (SELECT b.remote_created_at FROM batches b WHERE b.id = first.entity_id) AS created FROM ( \
                SELECT * FROM ( \
                    SELECT entity_id, job_id, seq, sends, priority, send_at, \
                        ROW_NUMBER() OVER (PARTITION BY job_id ORDER BY send_at, entity_id) AS turn \
                    FROM orders WHERE lane = $1 AND {of} AND send_at <= {now} AND (lease_until IS NULL OR lease_until <= {now}) \
                ) AS due ORDER BY priority DESC, turn, send_at, entity_id LIMIT $3 \
             ) AS first ORDER BY priority DESC, turn, send_at, entity_id"
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
                let (seq, sends) = (row.int("seq")?, row.small("sends")?);
                Ok(DueOrder { command, seq, trace: trace(row)?, created: row.get("created")?, sends })
            })
            .collect()
    }

    /// Puts orders off that are about to be sent: they are sent again unless somebody answers. Answers those
    /// that nobody else has put off, nudged or answered meanwhile: they are the caller's to send.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn put_off(&self, due: Vec<DueOrder>) -> Result<Vec<DueOrder>, StoreError> {
        let mut by_sends: BTreeMap<u32, Vec<DueOrder>> = BTreeMap::new();
        for order in due {
            by_sends.entry(order.sends + 1).or_default().push(order);
        }
        let mut ours = Vec::new();
        for (sends, orders) in &by_sends {
            for orders in orders.chunks(CHUNK) {
                ours.extend(self.put_off_alike(*sends, orders).await?);
            }
        }
        Ok(ours)
    }

    /// Puts off orders that are about to be sent for the `sends`-th time.
    async fn put_off_alike(&self, sends: u32, orders: &[DueOrder]) -> Result<Vec<DueOrder>, StoreError> {
        let later = self.dialect.now_plus_ms("$2");
        let text = format!(
            "UPDATE orders SET sends = $1, send_at = {later} WHERE sends = $1 - 1 AND (entity_id, seq) IN (VALUES "
        );
        let sql = self.write(Step::PutOff, text).int(sends).int(millis(resend_after(sends)));
        let sql = sql.rows(orders, |values, order| {
            values.id(order.command.entity()).int(order.seq);
        });
        let rows = sql.then(") RETURNING entity_id").all(&self.connection).await?;
        let taken = rows.iter().map(|row| row.id("entity_id")).collect::<Result<HashSet<_>, _>>()?;
        Ok(orders.iter().filter(|order| taken.contains(&order.command.entity())).copied().collect())
    }

    /// Messages of a lane that are sent and not yet claimed, of the jobs that `provider` runs; those that were
    /// sent so long ago that they are sent again don't count.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn unclaimed(&self, lane: Lane, provider: &str) -> Result<u64, StoreError> {
        let (now, of) = (self.dialect.now(), of_provider("$2"));
        let text = format!(
            "SELECT count(*) AS n FROM orders WHERE lane = $1 AND {of} AND sends > 0 AND send_at > {now} \
             AND (lease_until IS NULL OR lease_until <= {now})"
        );
        let sql = self.sql("unclaimed", text).text(lane.as_str()).text(provider);
        sql.one(&self.connection).await?.map_or(Ok(0), |row| row.count("n"))
    }

    /// How long until the next order of the jobs that `provider` runs is to be sent, by the database's clock;
    /// none where nobody waits.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn next_send(&self, provider: &str, lanes: &[Lane]) -> Result<Option<Duration>, StoreError> {
        // A claimed order is sent once its lease has run out, and not before.
        let at = "CASE WHEN lease_until > send_at THEN lease_until ELSE send_at END";
        let (now, of) = (self.dialect.now(), of_provider("$1"));
        let text = format!("SELECT min({at}) AS at, {now} AS now FROM orders WHERE {of} AND lane IN (");
        let lanes = lanes.iter().map(|lane| Value::from(lane.as_str()));
        let sql = self.sql("next_send", text).text(provider).list(lanes).then(")");
        let Some(row) = sql.one(&self.connection).await? else {
            return Ok(None);
        };
        let (at, now): (Option<Time>, Time) = (row.get("at")?, row.get("now")?);
        Ok(at.map(|at| (at - now).to_std().unwrap_or_default()))
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
        Ok(self.claim_all(command.lane(), &[(command.entity(), seq)], lease).await?.pop())
    }

    /// Claims those of up to [`CHUNK`] orders of a lane, each an entity and a sequence number, that were not answered,
    /// nudged or claimed since they were sent.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn claim_all(
        &self,
        lane: Lane,
        orders: &[(Uuid, i64)],
        lease: Duration,
    ) -> Result<Vec<Claimed>, StoreError> {
        let (now, later) = (self.dialect.now(), self.dialect.now_plus_ms("$2"));
        let text = format!(
            "UPDATE orders SET lease_until = {later}, fence = fence + 1 WHERE lane = $1 AND due_at <= {now} \
             AND (lease_until IS NULL OR lease_until <= {now}) AND (entity_id, seq) IN (VALUES "
        );
        let sql = self.write(Step::Claim, text).text(lane.as_str()).int(millis(lease));
        let sql = sql.rows(orders, |values, (entity, seq)| {
            values.id(*entity).int(*seq);
        });
        let sql = sql.then(
            ") RETURNING entity_id, seq, fence, failures, outages, job_id, \
             (SELECT j.trace FROM batch_jobs j WHERE j.id = orders.job_id) AS trace",
        );
        let claimed = |row: &Row| {
            let command = Command::new(lane, row.id("entity_id")?);
            let (failures, outages) = (row.small("failures")?, row.small("outages")?);
            let (job, trace, seq) = (JobId(row.id("job_id")?), trace(row)?, row.int("seq")?);
            Ok(Claimed { command, job, trace, seq, fence: row.int("fence")?, failures, outages })
        };
        sql.all(&self.connection).await?.iter().map(claimed).collect()
    }

    /// Answers up to [`CHUNK`] polls whose looks found nothing new: they are due again at `due`. One that somebody
    /// nudged meanwhile is given back as it is.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn look_again(&self, polls: &[Claimed], due: Time) -> Result<(), StoreError> {
        if polls.is_empty() {
            return Ok(());
        }
        let due_at = self.dialect.now_plus_ms("$1");
        let text = format!(
            "UPDATE orders SET due_at = {due_at}, send_at = {due_at}, seq = seq + 1, sends = 0, failures = 0, outages = 0, \
             fence = fence + 1, lease_until = NULL, last_error = NULL WHERE (entity_id, seq, fence) IN (VALUES "
        );
        let pause = (due - self.clock.now()).num_milliseconds();
        let sql = self.write(Step::GiveBack, text).int(pause).rows(polls, |values, poll| {
            values.id(poll.command.entity()).int(poll.seq).int(poll.fence);
        });
        let answered = sql.then(")").run(&self.connection).await?;
        if usize::try_from(answered).is_ok_and(|answered| answered == polls.len()) {
            return Ok(());
        }
        let text =
            "UPDATE orders SET lease_until = NULL, fence = fence + 1 WHERE (entity_id, fence) IN (VALUES ";
        let sql = self.write(Step::Unlease, text).rows(polls, |values, poll| {
            values.id(poll.command.entity()).int(poll.fence);
        });
        sql.then(")").run(&self.connection).await?;
        Ok(())
    }

    /// Renews a claim; false where somebody else has claimed it since.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn renew(&self, claimed: &Claimed, lease: Duration) -> Result<bool, StoreError> {
        Ok(self.renew_all(&[*claimed], lease).await? == 1)
    }

    /// Renews up to [`CHUNK`] claims, but for those that somebody else has claimed since; answers how many there were.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn renew_all(&self, claims: &[Claimed], lease: Duration) -> Result<u64, StoreError> {
        let later = self.dialect.now_plus_ms("$1");
        let text = format!("UPDATE orders SET lease_until = {later} WHERE (entity_id, fence) IN (VALUES ");
        let sql = self.write(Step::Renew, text).int(millis(lease)).rows(claims, |values, claimed| {
            values.id(claimed.command.entity()).int(claimed.fence);
        });
        sql.then(")").run(&self.connection).await
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
                let sql = self.write(Step::GiveBack, text).id(entity).int(claimed.seq).int(claimed.fence);
                sql.run(&self.connection).await?;
                let unlease = unlease(self.dialect, claimed).commits(Step::Unlease);
                unlease.run(&self.connection).await?;
                return Ok(());
            }
            Release::Later(due) => (due, 0, 0, None),
            Release::Failed(due, error) => (due, failures + 1, outages, Some(error)),
            Release::Outage(due, error) => (due, failures, outages + 1, Some(error)),
        };
        let due_at = self.dialect.now_plus_ms("$4");
        let text = format!(
            "UPDATE orders SET due_at = {due_at}, send_at = {due_at}, sends = 0, failures = $5, outages = $6, \
             last_error = $7, lease_until = NULL, fence = fence + 1 WHERE entity_id = $1 AND seq = $2 AND fence = $3"
        );
        let pause = (due - self.clock.now()).num_milliseconds();
        let sql = self.write(Step::GiveBack, text).id(entity).int(claimed.seq).int(claimed.fence).int(pause);
        sql.int(failures).int(outages).text_or_null(error.as_deref()).run(&self.connection).await?;
        unlease(self.dialect, claimed).commits(Step::Unlease).run(&self.connection).await?;
        Ok(())
    }

    /// Forgets all claims and sendings: for the one process that owns its database, right after it
    /// started, when nobody else can be at work.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn forget_claims(&self) -> Result<u64, StoreError> {
        // A database server has other processes at work, whatever the caller believes.
        if !self.dialect.is_a_file() {
            return Ok(0);
        }
        let text = "UPDATE orders SET lease_until = NULL, sends = 0, send_at = due_at \
            WHERE lease_until IS NOT NULL OR sends > 0";
        self.write(Step::ForgetClaims, text).run(&self.connection).await
    }

    /// Makes due what rests before a submit, in an outage or after a failure, of the jobs that `provider` runs: for a start,
    /// which is how people say that they have mended a key, an account, a disk or a switch. Looks and
    /// downloads that failed keep their rests: they count on the time that passes between two of them.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn wake(&self, provider: &str) -> Result<u64, StoreError> {
        let (now, of) = (self.dialect.now(), of_provider("$1"));
        let text = format!(
            "UPDATE orders SET due_at = {now}, send_at = {now}, sends = 0 \
             WHERE (lane = 'submit' OR (failures + outages > 0 AND (failures = 0 OR lane NOT IN ('poll', 'collect')))) \
                AND due_at > {now} AND {of}"
        );
        self.write(Step::Wake, text).text(provider).run(&self.connection).await
    }

    /// Gives every batch of a job that waits for a stage and has no order the order of its state. There is
    /// none by the rules; this is for the day on which the rules are wrong. Answers how many there were.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn place_lost_orders(&self, job: JobId) -> Result<u64, StoreError> {
        let now = self.dialect.now();
        let text = format!(
            "INSERT INTO orders (entity_id, job_id, lane, priority, seq, fence, due_at, send_at) \
            SELECT b.id, b.job_id, CASE b.state WHEN 'open' THEN 'poll' WHEN 'collecting' THEN 'collect' \
                ELSE 'submit' END, j.priority, $2, $2, {now}, {now} \
            FROM batches b JOIN batch_jobs j ON j.id = b.job_id WHERE b.job_id = $1 \
                AND b.state IN ('planned', 'creating', 'unknown', 'fencing', 'fenced', 'open', 'collecting') \
                AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.entity_id = b.id) \
            ON CONFLICT (entity_id) DO NOTHING"
        );
        let sql = self.write(Step::LostOrders, text).id(job.0).int(beginning(self.clock.now()));
        sql.run(&self.connection).await
    }

    /// When each batch of a job goes on, as far as it waits for nobody.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn batch_dues(&self, job: JobId) -> Result<HashMap<BatchId, Time>, StoreError> {
        let text = "SELECT entity_id, due_at FROM orders WHERE job_id = $1 AND entity_id <> $1";
        let rows = self.sql("batch_dues", text).id(job.0).all(&self.connection).await?;
        rows.iter().map(|row| Ok((BatchId(row.id("entity_id")?), row.get("due_at")?))).collect()
    }

    /// Makes what an entity waits for due now.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn nudge(&self, entity: Uuid) -> Result<bool, StoreError> {
        Ok(nudge(self.dialect, entity, None).commits(Step::Nudge).run(&self.connection).await? > 0)
    }

    /// Makes the next look at the batch of this id at the provider due now; answers whether one was to come.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn nudge_poll(&self, provider_id: &str) -> Result<bool, StoreError> {
        let text = "SELECT id FROM batches WHERE provider_id = $1";
        let row = self.sql("nudge_poll", text).text(provider_id).one(&self.connection).await?;
        let Some(row) = row else { return Ok(false) };
        let nudge = nudge(self.dialect, row.id("id")?, Some(Lane::Poll));
        Ok(nudge.commits(Step::Nudge).run(&self.connection).await? > 0)
    }
}

/// The job's place in a trace; every job has one.
fn trace(row: &Row) -> Result<Trace, StoreError> {
    event::trace(row)?.ok_or_else(|| row.unreadable("trace", "null"))
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The end of a lease.
fn unlease(dialect: Dialect, claimed: &Claimed) -> Sql {
    // The fence rises: a renewal that is still on its way finds nothing to renew.
    let text = "UPDATE orders SET lease_until = NULL, fence = fence + 1 WHERE entity_id = $1 AND fence = $2";
    Sql::new(dialect, Step::Unlease.word(), text).id(claimed.command.entity()).int(claimed.fence)
}

/// Makes what an entity waits for due now. The sequence number rises, so that whoever holds the older
/// order can't bury this.
pub(crate) fn nudge(dialect: Dialect, entity: Uuid, lane: Option<Lane>) -> Sql {
    let now = dialect.now();
    let text = format!(
        "UPDATE orders SET seq = seq + 1, due_at = {now}, send_at = {now}, sends = 0 \
         WHERE entity_id = $1 AND ($2 = '' OR lane = $2)"
    );
    Sql::new(dialect, Step::Nudge.word(), text).id(entity).text(lane.map_or("", Lane::as_str))
}

/// Who waits, and when that was decided, by the clock that the due time was decided by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) entity: Uuid,
    pub(crate) job: JobId,
    pub(crate) priority: i64,
    pub(crate) now: Time,
}

/// Puts what an entity waits for in its place, inside the commit that decides it: the commit is the
/// acknowledgement. `claimed` is the order that this answers, if it answers one.
pub(crate) async fn place(
    dialect: Dialect,
    on: &DatabaseTransaction,
    who: Waiting,
    next: NextOrder,
    claimed: Option<&Claimed>,
) -> Result<(), StoreError> {
    match (next, claimed) {
        (NextOrder::Nothing, _) => {
            let text = "DELETE FROM orders WHERE entity_id = $1";
            Sql::new(dialect, "place", text).id(who.entity).run(on).await?;
            Ok(())
        }
        (NextOrder::Keep, Some(claimed)) => unlease(dialect, claimed).run(on).await.map(drop),
        (NextOrder::Keep, None) => Ok(()),
        (NextOrder::Due(lane, due), Some(claimed)) => {
            let replaced = replace(dialect, on, claimed, lane, due - who.now).await?;
            if replaced || relane(dialect, on, claimed, lane).await? {
                return Ok(());
            }
            upsert(dialect, on, who, lane, due - who.now).await
        }
        (NextOrder::Due(lane, due), None) => upsert(dialect, on, who, lane, due - who.now).await,
    }
}

/// The order that was claimed gives way to the next one. The fence rises with it: whoever held the older one
/// may renew no lease on this.
async fn replace(
    dialect: Dialect,
    on: &DatabaseTransaction,
    claimed: &Claimed,
    lane: Lane,
    pause: TimeDelta,
) -> Result<bool, StoreError> {
    let due = dialect.now_plus_ms("$4");
    let text = format!(
        "UPDATE orders SET lane = $3, due_at = {due}, send_at = {due}, seq = seq + 1, sends = 0, failures = 0, \
         outages = 0, fence = fence + 1, lease_until = NULL, last_error = NULL WHERE entity_id = $1 AND seq = $2"
    );
    let sql = Sql::new(dialect, "place", text).id(claimed.command.entity()).int(claimed.seq);
    Ok(sql.text(lane.as_str()).int(pause.num_milliseconds()).run(on).await? == 1)
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
    who: Waiting,
    lane: Lane,
    pause: TimeDelta,
) -> Result<(), StoreError> {
    let due = dialect.now_plus_ms("$6");
    let text = format!(
        "INSERT INTO orders (entity_id, job_id, lane, priority, seq, fence, due_at, send_at) \
        VALUES ($1, $2, $3, $4, $5, $5, {due}, {due}) \
        ON CONFLICT (entity_id) DO UPDATE SET lane = excluded.lane, due_at = excluded.due_at, \
        send_at = excluded.send_at, seq = orders.seq + 1, sends = 0, failures = 0, outages = 0, \
        fence = orders.fence + 1, lease_until = NULL, last_error = NULL"
    );
    let sql = Sql::new(dialect, "place", text).id(who.entity).id(who.job.0).text(lane.as_str());
    sql.int(who.priority).int(beginning(who.now)).int(pause.num_milliseconds()).run(on).await?;
    Ok(())
}

/// The first sequence number and fence of an order: later than those of any order that the entity had before
/// and that was answered, so that no old message and no old claim fits it.
fn beginning(now: Time) -> i64 {
    now.timestamp_micros()
}
