//! What this process has seen of the account's input files, so that not every upload walks the whole list.
//!
//! It never says that a file is there, only that none can be: what it knows is looked for in a complete walk, which
//! alone decides. So what is out of date here costs a walk, and nothing else.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use openai::{CallError, Newest};
use wire::File;

use crate::context::Context;
use crate::outside;

/// How input files of ours begin, whatever the tag.
pub(crate) const PREFIX: &str = "overnight-";
/// Names that are kept, at 10 to 20 bytes each: 20 MB at most. An account with more of them is walked as a whole
/// before each upload.
const MOST: usize = 1_000_000;
/// How long a look serves all who ask. A database that comes back with older rows (restored, or failed over) isn't
/// there so soon.
const FRESH: Duration = Duration::from_secs(1);
/// Time before the newest known file that every look sees again: clocks of seconds, uploads that end together.
const BRIEF: Duration = Duration::from_secs(10);
/// The same for every look after [`DEEP_EVERY`]: a provider's list may lag, and a file may be as old as the beginning of its
/// upload when it turns up. Longer than most take, and short enough that an hour of uploads isn't read again: of one that took
/// longer, whose process died, the file may go up again.
const DEEP: Duration = Duration::from_secs(180);
const DEEP_EVERY: Duration = Duration::from_secs(15);

/// Names of input files that exist, or may.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    /// Hashes: two names with one hash cost a walk.
    names: HashSet<u64>,
    hash: RandomState,
    seen: Option<Seen>,
}

/// How far the list has been seen.
#[derive(Debug)]
struct Seen {
    newest: Newest,
    looked: Instant,
    looked_deep: Instant,
}

impl Uploads {
    /// Whether an input file of this name may be there, by what the list shows now and has shown before.
    ///
    /// # Errors
    /// A list that can't be had.
    pub(crate) async fn may_have(&mut self, context: &Context, name: &str) -> Result<bool, CallError> {
        if self.names.len() >= MOST {
            return Ok(true);
        }
        let began = Instant::now();
        let fresh = self.seen.as_ref().is_some_and(|seen| seen.looked + FRESH > began);
        if !fresh {
            self.look(context, began).await?;
        }
        Ok(self.names.contains(&self.hash.hash_one(name)))
    }

    /// An upload under this name was sent, and may have arrived.
    pub(crate) fn remember(&mut self, name: &str) {
        keep(&mut self.names, self.hash.hash_one(name));
    }

    /// Sees what has come since the last look; everything, if there was none.
    async fn look(&mut self, context: &Context, began: Instant) -> Result<(), CallError> {
        let mut newest = None;
        let mut take = |names: &mut HashSet<u64>, file: &File| {
            if file.filename.starts_with(PREFIX) {
                keep(names, self.hash.hash_one(&file.filename));
            }
            if newest.as_ref().is_none_or(|newest: &Newest| newest.created_at < file.created_at) {
                newest = Some(Newest { id: file.id.clone(), created_at: file.created_at });
            }
        };
        let deep = self.seen.as_ref().is_none_or(|seen| seen.looked_deep + DEEP_EVERY <= began);
        match &self.seen {
            None => outside::each_file(context, |file| take(&mut self.names, &file)).await?,
            Some(seen) => {
                let overlap = if deep { DEEP } else { BRIEF };
                let look = |file| take(&mut self.names, &file);
                outside::newer_files(context, &seen.newest, overlap, look).await?;
            }
        }
        let looked_deep = self.seen.as_ref().filter(|_| !deep).map_or(began, |seen| seen.looked_deep);
        self.seen = newest.map(|newest| Seen { newest, looked: began, looked_deep });
        Ok(())
    }
}

fn keep(names: &mut HashSet<u64>, name: u64) {
    if names.len() < MOST {
        names.insert(name);
    }
}
