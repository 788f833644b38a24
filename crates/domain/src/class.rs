//! Why a task did not succeed: a closed list that answers "again or not", "which label" and "what to do".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whether a line goes out again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The line wasn't billed: again, while attempts are left.
    Free,
    /// The line may have been billed: again only where the user opted in.
    Paid,
    /// As `Paid`, and once at most.
    PaidOnce,
    /// The same line would fail the same way, or a person decided.
    Never,
}

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $retry:ident, $hint:literal;)*) => {
        /// Why a task did not succeed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorClass { $($(#[$doc])* $name,)* }

        impl ErrorClass {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word in the database, the API and the metrics.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// Whether a line of this class goes out again by itself.
            #[must_use]
            pub fn retry(self) -> Retry {
                match self { $(Self::$name => Retry::$retry,)* }
            }

            /// What to tell the person who looks at a task that ended so.
            #[must_use]
            pub fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint,)* }
            }
        }
    };
}

classes! {
    /// HTTP 429 inside a line.
    RateLimited = "rate_limited", Free, "the provider was busy in every attempt; later, batch submit of the same files takes it again";
    /// HTTP 5xx inside a line.
    ServerError = "server_error", Free, "the provider failed in every attempt; later, batch submit of the same files takes it again";
    /// A result line that isn't JSON.
    TransientParse = "transient_parse", Paid,
        "the provider's result line can't be read and may have been billed; set BATCH_RETRY_PAID=true, or have batch submit take the same files again";
    /// The provider's 24 hours ran out.
    BatchExpired = "batch_expired", Free, "the provider ran out of its 24 hours in every attempt; later, batch submit of the same files takes it again";
    /// No line in either file, or `status_code` 0.
    NoResponse = "no_response", PaidOnce,
        "the provider returned no answer and may have billed one; set BATCH_RETRY_PAID=true, or have batch submit take the same files again";
    /// The account's enqueued-token limit.
    TokenBudget = "token_budget", Free, "the enqueued-token limit of the model is reached; it waits for room";
    /// Prompt and answer don't fit the model.
    ContextLength = "context_length", Never, "the record is too long for the model; shorten the template or take a larger model";
    /// HTTP 4xx inside a line, or a line that validation refused.
    InvalidRequest = "invalid_request", Never, "the provider refuses the request; read its message";
    /// The provider's content filter.
    ContentFilter = "content_filter", Never, "the provider's content filter stopped it";
    /// The key was refused.
    Auth = "auth", Never, "check OPENAI_API_KEY";
    /// The account has no credit, or a spend limit is reached.
    Quota = "quota", Never, "check the account's credit and limits";
    /// The answer breaks the processor's schema.
    OutputInvalid = "output_invalid", Paid, "the answer breaks the processor's schema and was billed; set BATCH_RETRY_PAID=true, or have batch submit take the same files again";
    /// A person cancelled it.
    CancelledByUser = "cancelled_by_user", Never, "cancelled; it goes out again only with another batch submit";
    /// A code that this version doesn't know.
    Unknown = "unknown", Never, "read the provider's message";
}

impl ErrorClass {
    /// The class of an HTTP answer that is not a success, by status and the provider's code.
    #[must_use]
    pub fn of_http(status: u16, code: Option<&str>) -> Self {
        match (status, code.unwrap_or_default()) {
            (0, _) => Self::NoResponse,
            (_, "context_length_exceeded" | "string_above_max_length") => Self::ContextLength,
            (_, "content_filter" | "content_policy_violation") => Self::ContentFilter,
            (_, "token_limit_exceeded") => Self::TokenBudget,
            (_, "insufficient_quota" | "credit_balance_exhausted" | "billing_hard_limit_reached") => {
                Self::Quota
            }
            (_, code) if code.ends_with("_limit_exceeded") && code.contains("spend") => Self::Quota,
            (401 | 403, _) => Self::Auth,
            (408 | 429, _) => Self::RateLimited,
            (400..=499, _) => Self::InvalidRequest,
            (500..=599, _) => Self::ServerError,
            _ => Self::Unknown,
        }
    }

    /// The class of a line that never got an HTTP answer, by the provider's code.
    #[must_use]
    pub fn of_line_error(code: &str) -> Self {
        match code {
            "batch_expired" => Self::BatchExpired,
            "batch_cancelled" => Self::CancelledByUser,
            "request_timeout" => Self::ServerError,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A label that is not in the list.
#[derive(Debug, thiserror::Error)]
#[error("unknown error class {0:?}")]
pub struct UnknownClass(String);

impl FromStr for ErrorClass {
    type Err = UnknownClass;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|class| class.label() == text)
            .ok_or_else(|| UnknownClass(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_words_that_come_back() {
        for class in ErrorClass::ALL {
            assert_eq!(class.label().parse::<ErrorClass>().unwrap(), *class);
            assert_eq!(serde_json::to_value(class).unwrap(), class.label());
        }
    }

    #[test]
    fn an_http_answer_has_a_class() {
        let cases = [
            (400, Some("context_length_exceeded"), ErrorClass::ContextLength),
            (400, None, ErrorClass::InvalidRequest),
            (401, None, ErrorClass::Auth),
            (429, Some("rate_limit_exceeded"), ErrorClass::RateLimited),
            (429, Some("project_spend_limit_exceeded"), ErrorClass::Quota),
            (500, None, ErrorClass::ServerError),
            (503, Some("server_is_overloaded"), ErrorClass::ServerError),
            (0, None, ErrorClass::NoResponse),
            (302, None, ErrorClass::Unknown),
        ];
        for (status, code, class) in cases {
            assert_eq!(ErrorClass::of_http(status, code), class, "{status} {code:?}");
        }
    }
}
