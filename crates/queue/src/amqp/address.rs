//! The address of a broker, read once and shown without its password.

use std::fmt;

use lapin::uri::AMQPUri;
use url::{Host, Url};

use crate::{Options, QueueError};

/// The address of a broker.
#[derive(Clone)]
pub(crate) struct Address {
    uri: AMQPUri,
    shown: String,
}

impl Address {
    /// # Errors
    /// An address that can't be read. The text of the parsers is dropped: it quotes the password.
    pub(crate) fn parse(text: &str, options: &Options) -> Result<Self, QueueError> {
        let refuse = |reason| Err(QueueError::Address(reason));
        let Ok(url) = Url::parse(text) else { return refuse("it is not a URL") };
        if !matches!(url.scheme(), "amqp" | "amqps") {
            return refuse("it starts with neither memory:, amqp: nor amqps:");
        }
        let Some(host) = url.host() else { return refuse("it names no host") };
        let Ok(mut uri) = text.parse::<AMQPUri>() else { return refuse("user, path or query can't be read") };
        if let Host::Ipv6(host) = host {
            // The library takes such a host for localhost.
            uri.authority.host = host.to_string();
        }
        if uri.vhost.is_empty() {
            // To the letter of the standard a trailing slash is the host named "", which nobody has.
            uri.vhost = "/".to_owned();
        }
        uri.query.heartbeat = uri.query.heartbeat.or(Some(options.heartbeat_s));
        let (scheme, user) = (&uri.scheme, &uri.authority.userinfo.username);
        let shown = format!("{scheme}://{user}@{host}:{}, virtual host {}", uri.authority.port, uri.vhost);
        Ok(Self { uri, shown })
    }

    /// With the password: for the connection only.
    pub(crate) fn uri(&self) -> AMQPUri {
        self.uri.clone()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, QueueError> {
        Address::parse(text, &Options::default())
    }

    #[test]
    fn an_address_is_read_as_people_write_it() {
        let cases = [
            ("amqp://localhost", "amqp://guest@localhost:5672, virtual host /"),
            ("amqp://me:secret@rabbit/", "amqp://me@rabbit:5672, virtual host /"),
            ("amqp://me:secret@10.0.0.7:5673/%2f", "amqp://me@10.0.0.7:5673, virtual host /"),
            ("amqps://me:s%40cret@rabbit/night", "amqps://me@rabbit:5671, virtual host night"),
            ("amqp://me:secret@[2001:db8::1]/night", "amqp://me@[2001:db8::1]:5672, virtual host night"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap().to_string(), expected);
        }
        assert_eq!(parse("amqp://[2001:db8::1]").unwrap().uri().authority.host, "2001:db8::1");
    }

    #[test]
    fn no_text_holds_the_password() {
        let address = parse("amqp://me:secret@rabbit").unwrap();
        let mut texts = vec![address.to_string(), format!("{address:?}")];
        for text in
            ["http://me:secret@rabbit", "amqp:me:secret@rabbit", "amqp://me:secret@rabbit?heartbeat=secret"]
        {
            texts.push(parse(text).unwrap_err().to_string());
        }
        assert!(texts.iter().all(|text| !text.contains("secret")), "{texts:?}");
    }
}
