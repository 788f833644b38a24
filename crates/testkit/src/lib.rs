//! What tests need: the binary, folders, the gateway's ledger.
