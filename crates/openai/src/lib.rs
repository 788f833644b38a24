//! Client of OpenAI's Files and Batches API.
