//! A named way to turn a record into a request and an answer into a result.
