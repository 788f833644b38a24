//! HTTP manners, the same for every server of ours: problems that say what to do, who may come in, bounds
//! on size and time, serving and stopping.
//!
//! It knows no database and no route: tokens come in as arguments, routers from whoever serves them.
//!
//! # Layout

mod auth;
mod json;
mod manners;
mod problem;
mod serve;
mod token;

pub use auth::{Caller, Credential, Door, Role};
pub use json::{parse_json, read_json, read_query};
pub use manners::{Bounds, RequestId, with_manners};
pub use problem::{Document, Fault, PROBLEM_JSON, Problem};
pub use serve::{ServeError, listen, serve};
pub use token::{NoChance, Token, hash};
