//! `POST /hooks/openai`: the provider says that a batch has ended. It is a hint and never the truth: whatever it
//! says, the batch is looked at now, and that look decides. One that never comes costs the time until the next look.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use standardwebhooks::{HEADER_WEBHOOK_TIMESTAMP, Webhook, WebhookError};
use web::Problem;

use crate::Api;
use crate::refusal::store_problem;

/// Longest body; the provider's are a few hundred bytes.
pub(crate) const MOST_BYTES: usize = 64 * 1024;

/// What the provider signs its webhooks with ([Standard Webhooks](https://www.standardwebhooks.com)).
#[derive(Clone)]
pub struct HookSecret(Arc<Webhook>);

impl FromStr for HookSecret {
    type Err = NoHookSecret;

    /// Reads `whsec_` and base64, as the provider shows it once.
    fn from_str(secret: &str) -> Result<Self, NoHookSecret> {
        // Without the prefix the official clients disagree about what the key is.
        let key = secret.strip_prefix("whsec_").filter(|key| !key.is_empty()).ok_or(NoHookSecret)?;
        Webhook::new(key).map(|key| Self(Arc::new(key))).map_err(|_| NoHookSecret)
    }
}

/// A text that is no secret of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not whsec_ and base64")]
pub struct NoHookSecret;

impl HookSecret {
    /// Whether these headers sign this body, within five minutes of now.
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), WebhookError> {
        // The library subtracts whatever number stands there, and signs it as it would write it.
        let seconds = headers.get(HEADER_WEBHOOK_TIMESTAMP).and_then(|value| value.to_str().ok());
        match seconds.map(|text| (text, text.parse::<u32>())) {
            Some((text, Ok(number))) if number.to_string() == text => self.0.verify(body, headers),
            Some(_) => Err(WebhookError::InvalidTimestamp),
            None => Err(WebhookError::MissingHeader("timestamp")),
        }
    }
}

impl fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookSecret(…)")
    }
}

/// What is read of a webhook.
#[derive(Deserialize)]
struct Hook {
    #[serde(rename = "type")]
    kind: String,
    data: Subject,
}

#[derive(Deserialize)]
struct Subject {
    id: String,
}

pub(crate) async fn openai(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let hook = heard(api.hook_secret.as_ref(), &headers, &body.map_err(|rejection| unreadable(&rejection))?)?;
    // Whatever else the endpoint is subscribed to is not about batches.
    if hook.kind.starts_with("batch.") {
        let known = api.store.nudge_poll(&hook.data.id).await.map_err(|error| store_problem(&error))?;
        tracing::info!(provider.batch = hook.data.id, hook.kind, known, "heard from the provider");
    }
    Ok(StatusCode::NO_CONTENT)
}

fn unreadable(rejection: &BytesRejection) -> Problem {
    Problem::new(rejection.status(), "unreadable-body", "the body could not be read")
        .detail(format!("{MOST_BYTES} bytes are taken at most"))
}

/// A webhook whose signature holds.
fn heard(secret: Option<&HookSecret>, headers: &HeaderMap, body: &[u8]) -> Result<Hook, Problem> {
    let secret = secret.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "no webhooks are expected here")
            .hint("set OPENAI_WEBHOOK_SECRET")
    })?;
    secret.verify(headers, body).map_err(|error| {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "the webhook is not signed by the provider")
            .detail(error.to_string())
            .hint("set OPENAI_WEBHOOK_SECRET as the provider showed it, and see that the clock of this machine is right")
    })?;
    web::parse_json(body)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE};

    use super::*;

    const SECRET: &str = "whsec_RdvaYFYUXuIFuEbvZHwMfYFhUf7aMYjYcmM24+Aj40c=";
    const BODY: &str =
        r#"{"id":"evt_1","object":"event","created_at":1,"type":"batch.completed","data":{"id":"batch_1"}}"#;

    fn now() -> i64 {
        domain::Clock::default().now().timestamp()
    }

    fn headers(values: [&[u8]; 3]) -> HeaderMap {
        let names = [HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, HEADER_WEBHOOK_SIGNATURE];
        let pairs = names.into_iter().zip(values);
        pairs
            .filter_map(|(name, value)| {
                Some((HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?))
            })
            .collect()
    }

    fn status(secret: &HookSecret, headers: &HeaderMap, body: &str) -> u16 {
        heard(Some(secret), headers, body.as_bytes())
            .map_or_else(|problem| problem.document().status, |_| 204)
    }

    #[test]
    fn what_the_provider_signed_is_heard_and_nothing_else() {
        let secret: HookSecret = SECRET.parse().unwrap();
        let sign = |at: i64, body: &str| secret.0.sign("wh_1", at, body.as_bytes()).unwrap();
        let with =
            |at: i64, signature: &str| headers([b"wh_1", at.to_string().as_bytes(), signature.as_bytes()]);
        let signed = sign(now(), BODY);
        assert_eq!(status(&secret, &with(now(), &signed), BODY), 204);
        // While a secret is being changed there are two signatures.
        assert_eq!(status(&secret, &with(now(), &format!("v1,b2xk {signed}")), BODY), 204);
        for (at, signature, body) in [
            (now(), signed.as_str(), BODY.replace("batch_1", "batch_2").as_str()),
            (now() + 1, &signed, BODY),
            (now(), "v1,", BODY),
            (now(), &signed.replace("v1", "v2"), BODY),
            (now() - 400, &sign(now() - 400, BODY), BODY),
            (now() + 400, &sign(now() + 400, BODY), BODY),
            (i64::MIN, &sign(i64::MIN, BODY), BODY),
        ] {
            assert_eq!(status(&secret, &with(at, signature), body), 401, "{at} {signature} {body}");
        }
        assert_eq!(status(&secret, &HeaderMap::new(), BODY), 401);
        // Signed, and nothing that this build understands.
        assert_eq!(status(&secret, &with(now(), &sign(now(), "{}")), "{}"), 422);
    }

    #[test]
    fn a_signature_is_the_one_of_the_standard() {
        // Made with Python's hmac: base64(HMAC-SHA256(key, "{id}.{timestamp}.{body}")).
        let secret: HookSecret = SECRET.parse().unwrap();
        let body = r#"{"id": "evt_685c059ae3a481909bdc86819b066fb6", "object": "event", "created_at": 1750861210, "type": "response.completed", "data": {"id": "resp_123"}}"#;
        let signed = secret.0.sign("wh_685c059ae39c8190af8c71ed1022a24d", 1_750_861_210, body.as_bytes());
        assert_eq!(signed.unwrap(), "v1,gUAg4R2hWouRZqRQG4uJypNS8YK885G838+EHb4nKBY=");
    }

    #[test]
    fn a_secret_is_what_the_provider_shows() {
        assert!(SECRET.parse::<HookSecret>().is_ok());
        for wrong in ["", "whsec_", "whsec_§", "RdvaYFYUXuIFuEbvZHwMfYFhUf7aMYjYcmM24+Aj40c="] {
            assert_eq!(wrong.parse::<HookSecret>().unwrap_err(), NoHookSecret, "{wrong}");
        }
        assert!(!format!("{:?}", SECRET.parse::<HookSecret>().unwrap()).contains("Rdva"));
    }

    /// A webhook's id, timestamp and signature on lines of their own, and its body: it is heard where the signature
    /// is right, for which `right` and `now` stand, and nowhere else.
    #[test]
    fn any_webhook_is_heard_only_if_it_is_signed() {
        let secret: HookSecret = SECRET.parse().unwrap();
        fuzz::run("webhooks", |bytes| {
            let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
            let mut line = || lines.next().unwrap_or_default();
            let (id, timestamp, signature, body) = (line(), line(), line(), line());
            // What is in the corpus was signed long ago; whoever says "now" signs now.
            let at = now();
            let text = std::str::from_utf8(id).unwrap_or_default();
            let made = secret.0.sign(text, at, body).unwrap_or_default();
            let timestamp =
                if timestamp == b"now" { at.to_string().into_bytes() } else { timestamp.to_vec() };
            let right = signature == b"right" && !made.is_empty();
            let signature = if right { made.into_bytes() } else { signature.to_vec() };
            let headers = headers([id, &timestamp, &signature]);
            let said = heard(Some(&secret), &headers, body).map_err(|problem| problem.document().status);
            let id_travels = headers.get(HEADER_WEBHOOK_ID).is_some_and(|id| id.to_str().is_ok());
            let may = right && id_travels && timestamp == at.to_string().as_bytes();
            match said {
                Ok(_) | Err(400 | 422) => assert!(may, "heard without a signature"),
                Err(status) => assert_eq!((status, may), (401, false)),
            }
        });
    }
}
