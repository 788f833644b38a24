//! Leases by name: of several processes that could do the same work, one does it. They save work and
//! guarantee nothing: a holder that stalls may overlap with the next.

use std::time::Duration;

use crash::Step;
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
}
