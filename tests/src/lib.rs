//! The promises are in `it/`; this library is empty so that cargo has a target to name.
