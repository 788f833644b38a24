//! A message as the broker holds it: JSON with a version. It never guesses: what isn't plain is unreadable,
//! with a reason for the person who finds it among the dead letters.

use domain::Lane;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::message::{MAX_ORDERS, Message, Order};

/// Version of the form. It rises when an older reader would misunderstand a newer writer; a field that
/// may be ignored doesn't raise it.
const VERSION: u64 = 1;
/// Largest body that is looked at: ten times the largest that is ever written.
const LARGEST_BODY: usize = 500_000;

/// What the body of a message turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Ours.
    Message(Message),
    /// Of a later version, from a process that is ahead of us in a rolling deployment.
    Newer(u64),
    /// Nobody will ever read it, and why.
    Unreadable(String),
}

#[derive(Serialize, Deserialize)]
struct Form {
    v: u64,
    lane: String,
    orders: Vec<FormOrder>,
}

#[derive(Serialize, Deserialize)]
struct FormOrder {
    entity: Uuid,
    seq: i64,
}

/// Of every version there ever will be.
#[derive(Deserialize)]
struct Versioned {
    v: u64,
}

/// The body of a message.
///
/// # Errors
/// A message without orders, or with too many.
pub(crate) fn write(message: &Message) -> Result<Vec<u8>, &'static str> {
    if message.orders.is_empty() {
        return Err("it has no orders");
    }
    if message.orders.len() > MAX_ORDERS {
        return Err("it has more than 500 orders; send several");
    }
    let orders = message.orders.iter().map(|order| FormOrder { entity: order.entity, seq: order.seq });
    let form = Form { v: VERSION, lane: message.lane.as_str().to_owned(), orders: orders.collect() };
    serde_json::to_vec(&form).map_err(|_| "it can't be written as JSON")
}

/// Reads a body that arrived in the queue of `lane`.
pub(crate) fn read(lane: Lane, body: &[u8], trace: Option<String>) -> Read {
    if body.len() > LARGEST_BODY {
        return unreadable(format!("{} bytes; a message has at most {LARGEST_BODY}", body.len()));
    }
    let version = match serde_json::from_slice::<Versioned>(body) {
        Ok(form) => form.v,
        Err(error) => return unreadable(format!("no JSON object with a version v: {error}")),
    };
    match version {
        0 => unreadable("version 0 never was".to_owned()),
        VERSION => read_current(lane, body, trace),
        newer => Read::Newer(newer),
    }
}

fn read_current(lane: Lane, body: &[u8], trace: Option<String>) -> Read {
    let form: Form = match serde_json::from_slice(body) {
        Ok(form) => form,
        Err(error) => return unreadable(format!("not a message of version {VERSION}: {error}")),
    };
    if form.lane != lane.as_str() {
        return unreadable(format!("for lane {:?}, found in lane {lane}", form.lane));
    }
    if form.orders.is_empty() || form.orders.len() > MAX_ORDERS {
        return unreadable(format!("{} orders; a message has 1 to {MAX_ORDERS}", form.orders.len()));
    }
    let orders = form.orders.iter().map(|order| Order { entity: order.entity, seq: order.seq }).collect();
    Read::Message(Message { lane, orders, trace })
}

fn unreadable(reason: String) -> Read {
    Read::Unreadable(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(orders: usize) -> Message {
        let order = |n| Order { entity: Uuid::from_u128(n as u128), seq: 3 };
        Message { lane: Lane::Poll, orders: (0..orders).map(order).collect(), trace: Some("00-1".to_owned()) }
    }

    #[test]
    fn what_is_written_is_read() {
        for orders in [1, MAX_ORDERS] {
            let body = write(&message(orders)).unwrap();
            assert_eq!(read(Lane::Poll, &body, Some("00-1".to_owned())), Read::Message(message(orders)));
        }
        assert!(write(&message(0)).is_err() && write(&message(MAX_ORDERS + 1)).is_err());
    }

    #[test]
    fn the_form_stays_what_it_is() {
        let text = String::from_utf8(write(&message(1)).unwrap()).unwrap();
        let form =
            r#"{"v":1,"lane":"poll","orders":[{"entity":"00000000-0000-0000-0000-000000000000","seq":3}]}"#;
        assert_eq!(text, form);
    }

    #[test]
    fn what_is_not_a_message_says_why() {
        let order = r#"{"entity":"00000000-0000-0000-0000-000000000000","seq":3}"#;
        let many = format!(r#"{{"v":1,"lane":"poll","orders":[{}]}}"#, vec![order; MAX_ORDERS + 1].join(","));
        let cases: [(&str, &str); 9] = [
            ("", "no JSON object"),
            ("hello", "no JSON object"),
            (r#"{"v":-1}"#, "no JSON object"),
            (r#"{"v":0}"#, "version 0"),
            (r#"{"v":1}"#, "not a message of version 1"),
            (r#"{"v":1,"lane":"submit","orders":[]}"#, "lane"),
            (r#"{"v":1,"lane":"poll","orders":[]}"#, "0 orders"),
            (&many, "501 orders"),
            (r#"{"v":1,"lane":"poll","orders":[{"entity":"x","seq":1}]}"#, "not a message"),
        ];
        for (body, expected) in cases {
            match read(Lane::Poll, body.as_bytes(), None) {
                Read::Unreadable(reason) => assert!(reason.contains(expected), "{body}: {reason}"),
                other => panic!("{body}: {other:?}"),
            }
        }
        assert!(matches!(read(Lane::Poll, &vec![b' '; LARGEST_BODY + 1], None), Read::Unreadable(_)));
    }

    #[test]
    fn a_later_version_is_not_dead() {
        assert_eq!(read(Lane::Poll, br#"{"v":2,"lines":[]}"#, None), Read::Newer(2));
        let more = br#"{"v":1,"lane":"poll","orders":[{"entity":"00000000-0000-0000-0000-000000000000","seq":3}],"new":1}"#;
        assert!(matches!(read(Lane::Poll, more, None), Read::Message(_)));
    }
}
