//! The keys of services.

use super::super::Api;
use super::super::incidents::check_text;
use super::super::input::{JsonText, parse};
use super::super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use super::{NAME_MAX, show};
use crate::incidents::digest_of;
use crate::lifecycle::unix_micros;
use crate::store::{IntegrationKey, NewKey};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Most keys of a service.
const KEYS_MAX: u32 = 200;

/// A key of a service
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IntegrationKey)]
pub(in crate::http) struct KeyInfo {
    /// Its id
    id: Uuid,
    /// What people call it
    name: String,
    /// When it was made
    created_at: String,
    /// When it was revoked
    revoked_at: Option<String>,
}

impl From<IntegrationKey> for KeyInfo {
    fn from(key: IntegrationKey) -> Self {
        let IntegrationKey { id, name, created_at, revoked_at } = key;
        Self { id, name, created_at: show(created_at), revoked_at: revoked_at.map(show) }
    }
}

/// The keys of a service
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct KeyList {
    data: Vec<KeyInfo>,
}

/// A key to make
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CreateKey {
    /// What people call it
    #[schema(example = "prometheus")]
    name: String,
}

/// A new key
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct NewKeyInfo {
    /// Its id
    id: Uuid,
    /// What people call it
    name: String,
    /// The key itself, which is shown here and never again: `routing_key` of an event
    key: String,
}

/// List the keys of a service
#[utoipa::path(
    get, path = "/api/v1/services/{slug}/keys", tag = "services", operation_id = "list_keys",
    params(("slug" = String, Path, description = "Its slug")),
    responses(
        (status = 200, description = "Its keys, without the keys themselves", body = KeyList),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(in crate::http) async fn keys(State(api): State<Api>, Path(slug): Path<String>) -> Result<Json<KeyList>, Problem> {
    let service = api.service(slug).await?;
    let keys = api.incidents()?.store().services.keys(service.id, KEYS_MAX).await?;
    Ok(Json(KeyList { data: keys.into_iter().map(KeyInfo::from).collect() }))
}

/// Make a key for a service
#[utoipa::path(
    post, path = "/api/v1/services/{slug}/keys", tag = "services", operation_id = "create_key",
    params(("slug" = String, Path, description = "Its slug")),
    request_body = CreateKey,
    responses(
        (status = 201, description = "The key, which is shown only now", body = NewKeyInfo),
        (status = 404, description = "There is no such service", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 409, description = "It has 200 keys", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(in crate::http) async fn create_key(
    State(api): State<Api>,
    Path(slug): Path<String>,
    body: JsonText,
) -> Result<(StatusCode, Json<NewKeyInfo>), Problem> {
    let CreateKey { name } = parse(body.text()?, api.limits)?;
    check_text("name", &name, NAME_MAX)?;
    let (service, id, key) = (api.service(slug).await?, Uuid::now_v7(), random_key()?);
    let services = &api.incidents()?.store().services;
    if services.keys(service.id, KEYS_MAX).await?.len() >= KEYS_MAX as usize {
        return Err(Problem::taken(format!("a service has at most {KEYS_MAX} keys")));
    }
    let digest = digest_of(key.as_bytes());
    let new = NewKey { id, service: service.id, name: name.clone(), digest, created_at: unix_micros() };
    services.create_key(new).await?;
    Ok((StatusCode::CREATED, Json(NewKeyInfo { id, name, key })))
}

/// Revoke a key of a service
#[utoipa::path(
    delete, path = "/api/v1/services/{slug}/keys/{key}", tag = "services", operation_id = "revoke_key",
    params(("slug" = String, Path, description = "Slug of the service"), ("key" = String, Path, description = "Id of the key")),
    responses(
        (status = 204, description = "It opens nothing any more"),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(in crate::http) async fn revoke_key(
    State(api): State<Api>,
    Path((slug, key)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let no_key = || Problem::not_found("the service has no key with this id that is good");
    let (service, key) = (api.service(slug).await?, key.parse::<Uuid>().map_err(|_| no_key())?);
    let revoked = api.incidents()?.store().services.revoke_key(service.id, key, unix_micros()).await?;
    revoked.then_some(StatusCode::NO_CONTENT).ok_or_else(no_key)
}

/// 32 characters, as many as those of `PagerDuty` have: 128 random bits.
fn random_key() -> Result<String, Problem> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Problem::internal(&error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
