//! Batches: looked at one by one or all of them, and cancelled.

use std::collections::HashSet;
use std::ops::ControlFlow;

use reqwest::Method;
use wire::{Batch, List};

use crate::error::{CallError, Class};
use crate::transport::{Call, Client};

/// Batches per page: the most that the provider gives.
const PAGE: u32 = 100;
/// Batches that a page of the list must show to have been cheaper than a look at each.
const WORTH_A_PAGE: usize = 2;

impl Client {
    /// A batch. Where the provider is asked too often (429), the caller hears of it at once.
    ///
    /// # Errors
    /// A provider that can't be reached or is too busy, or has no such batch.
    pub async fn batch(&self, id: &str) -> Result<Batch, CallError> {
        self.json(&Call::new("get batch", Method::GET, format!("batches/{id}")).heeded()).await
    }

    /// Asks for a batch to be cancelled. Asking twice does no harm.
    ///
    /// # Errors
    /// A provider that can't be reached, or a batch that has ended (409).
    pub async fn cancel_batch(&self, id: &str) -> Result<Batch, CallError> {
        self.json(&Call::new("cancel batch", Method::POST, format!("batches/{id}/cancel"))).await
    }

    /// Shows every batch of the account to `look`. The order of the list is not documented, so only a
    /// complete walk says that something is absent: a page that fails, fails the walk.
    ///
    /// # Errors
    /// A page that can't be had, or a server whose pages don't end.
    pub async fn each_batch(&self, mut look: impl FnMut(Batch)) -> Result<(), CallError> {
        let first = Call::new("list batches", Method::GET, "batches").query("limit", PAGE.to_string());
        let look = |batch| {
            look(batch);
            ControlFlow::Continue(())
        };
        self.walk(&first, |batch: &Batch| batch.id.clone(), look).await
    }

    /// Looks for batches in the account's list behind the batch `after`, or from its beginning. Goes on for as long as a page shows at
    /// least two of them: from there on it is cheaper to look at each. A batch that is not among the answers
    /// may be further down. Where the provider is asked too often (429), the caller hears of it at once.
    ///
    /// # Errors
    /// A page that can't be had.
    pub async fn find_batches(
        &self,
        mut wanted: HashSet<String>,
        mut after: Option<String>,
    ) -> Result<Vec<Batch>, CallError> {
        let first =
            Call::new("list batches", Method::GET, "batches").query("limit", PAGE.to_string()).heeded();
        let mut found = Vec::new();
        while wanted.len() >= WORTH_A_PAGE {
            let call = match after {
                Some(after) => first.clone().query("after", after),
                None => first.clone(),
            };
            let page: List<Batch> = self.json(&call).await?;
            let last = page.data.last().map(|batch| batch.id.clone()).filter(|_| page.has_more);
            let before = found.len();
            found.extend(page.data.into_iter().filter(|batch| wanted.remove(&batch.id)));
            let Some(last) = last.filter(|_| found.len() >= before + WORTH_A_PAGE) else { break };
            after = Some(last);
        }
        Ok(found)
    }

    /// Walks the pages of a list: all of them, unless `look` has seen enough.
    pub(crate) async fn walk<T: serde::de::DeserializeOwned>(
        &self,
        first: &Call,
        id: impl Fn(&T) -> String,
        mut look: impl FnMut(T) -> ControlFlow<()>,
    ) -> Result<(), CallError> {
        let mut cursors = HashSet::new();
        let mut call = first.clone();
        loop {
            let page: List<T> = self.json(&call).await?;
            if page.has_more && page.data.is_empty() {
                let message = "an empty page of the list says that more follow".to_owned();
                return Err(self.error(first, Class::Retryable, message));
            }
            let last = page.data.last().map(&id).filter(|_| page.has_more);
            let enough = page.data.into_iter().try_for_each(&mut look).is_break();
            let Some(last) = last.filter(|_| !enough) else { return Ok(()) };
            call = first.clone().query("after", last.clone());
            if !cursors.insert(last) {
                let message = "the list's pages don't end: the server ignores `after`".to_owned();
                return Err(self.error(first, Class::Refused, message));
            }
        }
    }
}
