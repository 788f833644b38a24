//! Chaos: the real binary against a provider that lies, with kills, outages and two of everything, and an oracle that
//! looks at the ledger, the database and the events afterwards.
//!
//! [`oracle::check`] judges, and looks at plain data only. Nothing here is part of the product.

#![expect(missing_docs, reason = "fields of rows are named as their columns are")]
#![expect(clippy::disallowed_methods, reason = "a scenario plays the disk, the person and the clock")]
#![expect(clippy::expect_used, reason = "a scenario that can't go on has failed")]

mod api;
pub mod books;
pub mod evidence;
pub mod ground;
pub mod laptop;
pub mod matrix;
pub mod oracle;
pub mod scenario;
pub mod site;
pub mod soak;
pub mod table;
pub mod troop;
