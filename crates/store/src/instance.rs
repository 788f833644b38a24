//! Who we are to the provider.

use crash::Step;
use uuid::Uuid;

use crate::{Store, StoreError};

impl Store {
    /// Sees to it that a new database has a tag before anything is kept in it: a backup without one would come back under
    /// another, as a copy of itself.
    pub(crate) async fn tag_if_new(&self) -> Result<(), StoreError> {
        if self.tag().await?.is_none() {
            self.instance_tag().await?;
        }
        Ok(())
    }

    /// The tag that this database's batches carry; made on the first call.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn instance_tag(&self) -> Result<String, StoreError> {
        let insert =
            "INSERT INTO instance (one, tag, created_at) VALUES (1, $1, $2) ON CONFLICT (one) DO NOTHING";
        let tag = Uuid::new_v4().simple().to_string();
        self.write(Step::Instance, insert).text(tag).time(self.clock.now()).run(&self.connection).await?;
        self.tag().await?.ok_or_else(|| StoreError::Missing { table: "instance", id: "1".to_owned() })
    }

    async fn tag(&self) -> Result<Option<String>, StoreError> {
        let row = self.sql("instance", "SELECT tag FROM instance").one(&self.connection).await?;
        row.map(|row| row.text("tag")).transpose()
    }

    /// Which database this is, in words that change where it may have come back older: with a server that started anew, as
    /// after a failover, and with tables that were made anew, as from a backup. A file changes under nobody's hands.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn incarnation(&self) -> Result<String, StoreError> {
        let row = self.sql("incarnation", self.dialect.incarnation()).one(&self.connection).await?;
        row.map_or(Ok(String::new()), |row| row.text("incarnation"))
    }

    /// Gives this database a new tag: batches of the old one are not ours any more.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn rotate_instance_tag(&self) -> Result<String, StoreError> {
        self.instance_tag().await?;
        let tag = Uuid::new_v4().simple().to_string();
        let update = "UPDATE instance SET tag = $1, created_at = $2";
        self.write(Step::RotateInstance, update)
            .text(&tag)
            .time(self.clock.now())
            .run(&self.connection)
            .await?;
        Ok(tag)
    }
}
