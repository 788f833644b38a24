//! Exact token counts, by the encoding of a model.
//!
//! Two vocabularies are built in: o200k (gpt-4o and everything later) and cl100k (what came before, and the
//! embedding models). Each is unpacked once per process. Nothing here knows a request or a price.

use tiktoken::{CoreBpe, get_encoding, model_to_encoding};

const NEWER: &str = "o200k_base";
const OLDER: &str = "cl100k_base";

/// Tokens of `text` as `model` counts them. A model that nobody has heard of counts like the newest.
#[must_use]
pub fn count(model: &str, text: &str) -> usize {
    encoding(model).map_or(text.len(), |encoding| encoding.count(text))
}

/// Unpacks both vocabularies, so that the first count of a process isn't slow.
pub fn warm() {
    let _unpacked = [NEWER, OLDER].map(get_encoding);
}

/// Both names are compiled in, so that this is `None` only in a build that left the vocabularies out.
fn encoding(model: &str) -> Option<&'static CoreBpe> {
    get_encoding(match model_to_encoding(model) {
        Some(OLDER | "p50k_base" | "p50k_edit" | "r50k_base") => OLDER,
        _ => NEWER,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_have_their_known_counts() {
        assert_eq!(count("gpt-4o", ""), 0);
        assert_eq!(count("gpt-5.2", "hello world"), 2);
        assert_eq!(count("text-embedding-3-large", "tiktoken is great!"), 6);
        assert_eq!(count("gpt-4", "antidisestablishmentarianism"), 6);
    }

    #[test]
    fn the_encoding_goes_with_the_model() {
        let text = "お誕生日おめでとう";
        assert_eq!(count("gpt-4", text), 9);
        assert_eq!(count("gpt-4o-mini", text), 8);
        assert_eq!(count("text-embedding-3-small", text), 9);
        assert_eq!(count("gpt-3.5-turbo", text), 9);
    }

    #[test]
    fn an_unknown_model_counts_like_the_newest() {
        let text = "お誕生日おめでとう";
        assert_eq!(count("somebody-elses-model", text), count("gpt-4o", text));
        assert_eq!(count("gpt-6-sol", text), count("gpt-4o", text));
        assert_eq!(count("qwen3-32b", text), count("gpt-4o", text));
    }

    #[test]
    fn words_that_look_like_control_tokens_are_text() {
        assert!(count("gpt-4o", "<|endoftext|>") > 1);
    }

    #[test]
    fn warming_changes_no_count() {
        warm();
        assert_eq!(count("gpt-4o", "hello world"), 2);
    }
}
