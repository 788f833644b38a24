//! Messages from the relay to the workers.
