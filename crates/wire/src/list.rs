//! A page of a list.

use serde::{Deserialize, Serialize};

/// One page. The next one is asked for with `after` = the id of the last item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List<T> {
    /// Always `list`.
    #[serde(default = "list")]
    pub object: String,
    /// The items.
    pub data: Vec<T>,
    /// Id of the first item.
    #[serde(default)]
    pub first_id: Option<String>,
    /// Id of the last item.
    #[serde(default)]
    pub last_id: Option<String>,
    /// Whether another page follows. A list that doesn't say so may be any part of the whole.
    pub has_more: bool,
}

fn list() -> String {
    "list".to_owned()
}
