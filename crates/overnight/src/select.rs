//! What a person names, found: a job by the beginning of its id, a processor by its name.

use std::sync::Arc;

use domain::JobId;
use processor::Processor;
use store::{Find, Store};

use crate::config::Config;
use crate::exit::Trouble;

/// The job that an id or the beginning of one names.
pub(crate) async fn job(store: &Store, prefix: &str) -> Result<JobId, Trouble> {
    let list = |ids: &[JobId]| ids.iter().map(JobId::to_string).collect::<Vec<_>>().join(", ");
    match store.find_job(prefix).await? {
        Find::One(id) => Ok(id),
        Find::Many(ids) => Err(Trouble::other(format!("several jobs begin with {prefix}"))
            .why(list(&ids))
            .fix("give more of the id")),
        Find::None(nearest) if nearest.is_empty() => Err(Trouble::other(format!("no job {prefix}"))
            .why("there are no jobs in this data folder")
            .fix("submit one: overnight batch submit --help")),
        Find::None(nearest) => Err(Trouble::other(format!("no job {prefix}"))
            .why(format!("the nearest are {}", list(&nearest)))
            .fix("overnight batch list shows them all")),
    }
}

/// The job, if it is run by the provider that this command talks to.
pub(crate) async fn job_to_drive(config: &Config, store: &Store, prefix: &str) -> Result<JobId, Trouble> {
    let id = job(store, prefix).await?;
    let provider = store.job(id).await?.provider;
    if provider == config.provider.as_str() {
        return Ok(id);
    }
    Err(Trouble::config(format!(
        "job {id} is run by {provider}, and this command talks to {}",
        config.provider
    ))
    .why("who spends money says so, with every command")
    .fix(format!("add --provider {provider}, or set OVERNIGHT_PROVIDER={provider}")))
}

/// The processor of a name or a file, with another model where one is asked for.
pub(crate) fn processor(config: &Config, name: &str, model: Option<&str>) -> Result<Arc<Processor>, Trouble> {
    let definition = processor::resolve(name, Some(&config.processors_dir))?;
    Ok(Arc::new(Processor::new(definition, model)?))
}
