//! The matrix: every scenario there is, in an order that is the same every time: what shows most comes first, for a run
//! whose time is up.

pub mod cancels;
pub mod crashes;
pub mod cuts;
pub mod lies;
pub mod outages;
pub mod passes;
pub mod promises;
pub mod restores;
pub mod signals;
pub mod turns;

use crate::ground::Pair;
use crate::scenario::Scenario;
use crate::site::Site;

/// On SQLite, in one process. What a night passes is found out by nights in which nothing is done.
#[must_use]
pub fn laptop(site: &Site) -> Vec<Scenario> {
    let passes = passes::laptop(site);
    let promises = promises::on(Pair::Sqlite);
    [
        promises,
        outages::laptop(),
        restores::on(Pair::Sqlite),
        cancels::on(Pair::Sqlite),
        turns::laptop(),
        crashes::laptop(&passes),
        lies::laptop(),
        signals::laptop(&passes),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// On PostgreSQL and RabbitMQ, in processes of their own.
#[must_use]
pub fn troop(site: &Site) -> Vec<Scenario> {
    let passes = passes::troop(site);
    let by_clock = passes::by_clock_alone(site, &passes);
    let promises = promises::on(Pair::Fleet);
    [
        promises,
        outages::troop(),
        restores::on(Pair::Fleet),
        cuts::troop(),
        cancels::on(Pair::Fleet),
        turns::troop(),
        crashes::troop(&passes),
        crashes::by_clock(by_clock),
        lies::troop(),
        signals::troop(&passes),
    ]
    .into_iter()
    .flatten()
    .collect()
}
