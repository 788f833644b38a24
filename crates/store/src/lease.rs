//! Leases by name: of several processes that could do the same work, one does it. They save work and
//! guarantee nothing: a holder that stalls may overlap with the next.
//!
//! A rest is a lease that nobody holds: until it is over, all processes leave alone what it names.

use std::time::Duration;

use crash::Step;
use domain::Time;
use uuid::Uuid;

use crate::order::millis;
use crate::{Store, StoreError};

impl Store {
    /// Takes or renews a lease; false while another process holds it. The database's clock counts.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn take_lease(&self, name: &str, holder: Uuid, lease: Duration) -> Result<bool, StoreError> {
        let (now, until) = (self.dialect.now(), self.dialect.now_plus_ms("$3"));
        let text = format!(
            "INSERT INTO leases (name, holder, until) VALUES ($1, $2, {until}) \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until \
             WHERE leases.until <= {now} OR leases.holder = excluded.holder"
        );
        let sql = self.write(Step::TakeLease, text).text(name).id(holder).int(millis(lease));
        Ok(sql.run(&self.connection).await? == 1)
    }

    /// Gives a lease back, so that nobody waits for its end.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn give_lease(&self, name: &str, holder: Uuid) -> Result<(), StoreError> {
        let text = "DELETE FROM leases WHERE name = $1 AND holder = $2";
        self.write(Step::GiveLease, text).text(name).id(holder).run(&self.connection).await?;
        Ok(())
    }

    /// Lets all processes leave alone what the rest names, for at least so long from now on.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn rest(&self, name: &str, pause: Duration) -> Result<(), StoreError> {
        let until = self.dialect.now_plus_ms("$3");
        let text = format!(
            "INSERT INTO leases (name, holder, until) VALUES ($1, $2, {until}) \
             ON CONFLICT (name) DO UPDATE SET until = excluded.until WHERE leases.until < excluded.until"
        );
        let sql = self.write(Step::Rest, text).text(name).id(Uuid::nil()).int(millis(pause));
        sql.run(&self.connection).await?;
        Ok(())
    }

    /// How long what the rest names is still to be left alone, by the database's clock; none: it isn't.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn rest_left(&self, name: &str) -> Result<Option<Duration>, StoreError> {
        let now = self.dialect.now();
        let text = format!("SELECT until, {now} AS now FROM leases WHERE name = $1 AND until > {now}");
        let Some(row) = self.sql("rest_left", text).text(name).one(&self.connection).await? else {
            return Ok(None);
        };
        let (until, now): (Time, Time) = (row.get("until")?, row.get("now")?);
        Ok((until - now).to_std().ok())
    }
}
