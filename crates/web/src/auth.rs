//! Who may come in: bearer tokens by their hashes, roles, and the door of a server that has no token yet.
//!
//! Without any token a server is open to this machine alone. That includes every page in a browser on it,
//! so requests that a browser sends for a page are turned away there.

use axum::http::{HeaderMap, StatusCode, Uri, header};
use subtle::{Choice, ConstantTimeEq as _};

use crate::problem::Problem;
use crate::token::hash;

/// What a token may do; each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Creates and cancels jobs.
    Operator,
    /// Changes what runs by itself.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The word in the database and the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// A token as it is kept.
#[derive(Clone, Debug)]
pub struct Credential {
    /// What people call it.
    pub name: String,
    /// SHA-256 of the token, lower-case hexadecimal.
    pub hash: String,
    /// What it may do.
    pub role: Role,
}

/// Who came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's name; none: somebody on this machine, where no token is demanded.
    pub token: Option<String>,
    /// What it may do.
    pub role: Role,
}

/// Whether a server can be reached from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// From this machine only: open while there is no token.
    Loopback,
    /// From anywhere: shut while there is no token.
    Network,
}

impl Door {
    /// The caller of a request, if it may do what `needed` may.
    ///
    /// # Errors
    /// No token, a wrong one, a role that is too low, or a page in a browser.
    pub fn admit(
        self,
        credentials: &[Credential],
        headers: &HeaderMap,
        needed: Role,
    ) -> Result<Caller, Problem> {
        let caller = if self == Self::Loopback && credentials.is_empty() {
            from_this_machine(headers)?
        } else {
            known(credentials, headers)?
        };
        if caller.role >= needed {
            return Ok(caller);
        }
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "the token may not do this")
            .detail(format!("its role is {}, and this needs {}", caller.role.as_str(), needed.as_str()))
            .hint(format!("use a token with the role {}", needed.as_str())))
    }
}

fn known(credentials: &[Credential], headers: &HeaderMap) -> Result<Caller, Problem> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = given.and_then(bearer) else {
        return Err(unauthorized("no bearer token was given"));
    };
    let given = hash(token);
    // All are compared, whichever it is: the time that it takes tells nothing.
    let mut found = None;
    for credential in credentials {
        let same: Choice = credential.hash.as_bytes().ct_eq(given.as_bytes());
        if same.into() {
            found = Some(credential);
        }
    }
    let found = found.ok_or_else(|| unauthorized("the token is not known, or was revoked"))?;
    Ok(Caller { token: Some(found.name.clone()), role: found.role })
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized(why: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "a token is needed")
        .detail(why)
        .hint("send Authorization: Bearer on_…; overnight token add makes one")
}

/// A page may send requests to this machine, under a name of its own that leads here, or from its origin.
fn from_this_machine(headers: &HeaderMap) -> Result<Caller, Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    let hosts = [text(header::HOST), origin];
    if hosts.into_iter().flatten().all(is_loopback) {
        return Ok(Caller { token: None, role: Role::Admin });
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "open to this machine only")
        .detail("the request comes from a page, or names another host")
        .hint("call it as 127.0.0.1, or make a token with overnight token add and send it"))
}

fn is_loopback(authority: &str) -> bool {
    let Ok(uri) = Uri::builder().scheme("http").authority(authority).path_and_query("/").build() else {
        return false;
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn credentials() -> Vec<Credential> {
        let all = Role::ALL.into_iter();
        all.map(|role| Credential { name: role.as_str().to_owned(), hash: hash(role.as_str()), role })
            .collect()
    }

    fn status(door: Door, tokens: &[Credential], given: &HeaderMap, needed: Role) -> u16 {
        door.admit(tokens, given, needed).map_or_else(|problem| problem.document().status, |_| 200)
    }

    #[test]
    fn a_role_may_do_what_the_ones_below_it_may() {
        for (token, allowed) in [("viewer", 1), ("operator", 2), ("admin", 3)] {
            let given = headers(&[(header::AUTHORIZATION, &format!("Bearer {token}"))]);
            let statuses = Role::ALL.map(|needed| status(Door::Network, &credentials(), &given, needed));
            assert_eq!(statuses.iter().filter(|status| **status == 200).count(), allowed, "{token}");
            assert!(statuses.iter().all(|status| [200, 403].contains(status)));
        }
    }

    #[test]
    fn a_stranger_stays_outside() {
        for value in ["Bearer wrong", "Bearer ", "Basic admin", "admin", "bearer"] {
            let given = headers(&[(header::AUTHORIZATION, value)]);
            assert_eq!(status(Door::Loopback, &credentials(), &given, Role::Viewer), 401, "{value}");
        }
        assert_eq!(status(Door::Loopback, &credentials(), &HeaderMap::new(), Role::Viewer), 401);
    }

    #[test]
    fn without_any_token_only_this_machine_comes_in() {
        let local = headers(&[(header::HOST, "127.0.0.1:8080")]);
        assert_eq!(status(Door::Loopback, &[], &local, Role::Admin), 200);
        assert_eq!(status(Door::Network, &[], &local, Role::Viewer), 401);
        for host in ["localhost:80", "[::1]:8080", "127.9.9.9"] {
            assert_eq!(
                status(Door::Loopback, &[], &headers(&[(header::HOST, host)]), Role::Admin),
                200,
                "{host}"
            );
        }
    }

    #[test]
    fn a_page_in_a_browser_does_not_come_in() {
        let rebound = headers(&[(header::HOST, "evil.example:8080")]);
        let posted = headers(&[(header::HOST, "127.0.0.1:8080"), (header::ORIGIN, "https://evil.example")]);
        let opaque = headers(&[(header::HOST, "127.0.0.1:8080"), (header::ORIGIN, "null")]);
        for given in [rebound, posted, opaque] {
            assert_eq!(status(Door::Loopback, &[], &given, Role::Viewer), 403, "{given:?}");
        }
    }
}
