//! Who may come in. Tokens are read with every request, so that a revoked one is out at once.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use chrono::TimeDelta;
use store::{Store, TokenRow};
use web::{Caller, Credential, Problem, Role};

use crate::Api;
use crate::refusal::store_problem;

/// How exactly the last use of a token is known; more exactly would be a write with every request.
const LAST_USE: TimeDelta = TimeDelta::minutes(1);

pub(crate) async fn admit(
    State((api, needed)): State<(Arc<Api>, Role)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let rows = api.store.tokens().await.map_err(|error| store_problem(&error))?;
    let credentials: Vec<Credential> = rows.iter().filter_map(credential).collect();
    let caller = api.door.admit(&credentials, request.headers(), needed)?;
    note_use(&api.store, &caller, &rows).await;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// A role that this build doesn't know opens nothing.
fn credential(row: &TokenRow) -> Option<Credential> {
    let role = Role::parse(&row.role);
    if role.is_none() {
        tracing::warn!(token.name = row.name, role = row.role, "this token has a role that nobody knows");
    }
    Some(Credential { name: row.name.clone(), hash: row.hash.clone(), role: role? })
}

/// Nobody is turned away because the note fails.
async fn note_use(store: &Store, caller: &Caller, rows: &[TokenRow]) {
    let used = rows.iter().find(|row| Some(&row.name) == caller.token.as_ref());
    let Some(row) = used else { return };
    let stale = row.last_used_at.is_none_or(|last| store.clock().now() - last >= LAST_USE);
    if !stale {
        return;
    }
    if let Err(error) = store.touch_token(&row.name).await {
        tracing::warn!(token.name = row.name, error = %error, "the use of a token was not noted");
    }
}
