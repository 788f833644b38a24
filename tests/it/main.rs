//! The promises, tested from outside: one binary, a module per promise.
mod shape;
