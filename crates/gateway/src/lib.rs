//! OpenAI-compatible Files and Batches server that runs batches itself.
