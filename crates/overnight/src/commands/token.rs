//! `overnight token`: who may use the API. A token is printed when it is made, and never again.

use serde_json::json;
use web::{Role, Token, hash};

use crate::cli::TokenCommand;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, table};
use crate::world::Desk;

/// Longest name, in characters.
const MOST_NAME: usize = 100;

pub(crate) async fn run(config: &Config, command: &TokenCommand, output: &Output) -> Result<Exit, Trouble> {
    let desk = Desk::open(config, "token").await?;
    match command {
        TokenCommand::Add { name, role } => add(&desk, name, *role, output).await?,
        TokenCommand::List => list(&desk, output).await?,
        TokenCommand::Revoke { name } => revoke(&desk, name, output).await?,
    }
    desk.store.close().await?;
    Ok(Exit::Success)
}

async fn add(desk: &Desk, name: &str, role: Role, output: &Output) -> Result<(), Trouble> {
    let is_name = (1..=MOST_NAME).contains(&name.chars().count()) && !name.contains(char::is_control);
    if !is_name {
        return Err(Trouble::usage(format!("{name:?} is not a name"))
            .fix(format!("take 1 to {MOST_NAME} visible characters")));
    }
    let token = Token::generate().map_err(Trouble::other)?;
    if !desk.store.add_token(name, &hash(token.reveal()), role.as_str()).await? {
        return Err(Trouble::other(format!("there is a token {name} already"))
            .fix(format!("take another name, or revoke it first: overnight token revoke {name}")));
    }
    let document = json!({ "name": name, "role": role.as_str(), "token": token.reveal() });
    output.note("keep it: it can't be shown again");
    output.result(&document, || token.reveal().to_owned());
    Ok(())
}

async fn list(desk: &Desk, output: &Output) -> Result<(), Trouble> {
    let tokens = desk.store.tokens().await?;
    let documents: Vec<_> = tokens
        .iter()
        .map(|token| {
            json!({
                "name": token.name,
                "role": token.role,
                "created_at": token.created_at,
                "last_used_at": token.last_used_at,
            })
        })
        .collect();
    output.result(&json!({ "tokens": documents }), || {
        if tokens.is_empty() {
            return "no tokens: the API is open to this machine, and to no other".to_owned();
        }
        let rows = tokens.iter().map(|token| {
            let used = token.last_used_at.map_or_else(|| "never".to_owned(), |used| used.to_rfc3339());
            vec![token.name.clone(), token.role.clone(), token.created_at.to_rfc3339(), used]
        });
        table(&["TOKEN", "ROLE", "MADE", "LAST USED"], rows)
    });
    Ok(())
}

async fn revoke(desk: &Desk, name: &str, output: &Output) -> Result<(), Trouble> {
    if !desk.store.revoke_token(name).await? {
        return Err(Trouble::other(format!("no token {name}")).fix("overnight token list shows them all"));
    }
    output.result(&json!({ "revoked": name }), || format!("token {name} is revoked"));
    Ok(())
}
