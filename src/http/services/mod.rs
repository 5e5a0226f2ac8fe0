//! Services, and the keys by which monitoring speaks for them.

mod integration_keys;

pub(super) use integration_keys::{__path_create_key, __path_keys, __path_revoke_key, create_key, keys, revoke_key};

use super::Api;
use super::incidents::{check_text, page_limit, read_time};
use super::input::{JsonText, Params, parse};
use super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use crate::lifecycle::unix_micros;
use crate::store::{Deleted, Service};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Longest slug, in characters.
const SLUG_MAX: usize = 64;

/// Longest name, in characters.
const NAME_MAX: usize = 255;

/// Longest target, in seconds: 30 days.
const ACK_TARGET_MAX_SECS: i64 = 2_592_000;

/// Most open incidents that a service may ask for. Whatever opens one counts those that are open, and others wait meanwhile.
const OPEN_MAX: i64 = 50_000;

/// A service
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Service)]
pub(super) struct ServiceInfo {
    /// Its name in addresses and rooms
    #[schema(example = "api")]
    slug: String,
    /// Its name for people
    name: String,
    /// Until when what happens to it wakes nobody
    maintenance_until: Option<String>,
    /// Whose it is
    team: Option<String>,
    /// In how many seconds somebody should take care of what happens to it; `null`: as the server's setting says
    ack_target_secs: Option<i64>,
    /// How many of its incidents may be open at once; `null`: as the server's setting says
    max_open: Option<i64>,
    /// When it was made
    created_at: String,
}

impl From<Service> for ServiceInfo {
    fn from(service: Service) -> Self {
        Self {
            slug: service.slug,
            name: service.name,
            maintenance_until: service.maintenance_until.map(show),
            team: service.team,
            ack_target_secs: service.ack_target_secs,
            max_open: service.max_open,
            created_at: show(service.created_at),
        }
    }
}

fn show(micros: i64) -> String {
    Timestamp::from_microsecond(micros).unwrap_or_default().to_string()
}

/// A page of services, in the order of their slugs
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServiceList {
    data: Vec<ServiceInfo>,
    /// The `cursor` of the next page, if there may be one
    next_cursor: Option<String>,
}

/// Which services to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ServicesParams {
    /// Most entries, 1 to 200; 50 unless given
    limit: Option<u32>,
    /// Where to go on: the `next_cursor` of the page before
    cursor: Option<String>,
}

/// A service to make
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateService {
    /// Its name in addresses and rooms, for good: a to z, digits and hyphens
    #[schema(example = "api")]
    slug: String,
    /// Its name for people; the slug unless given
    name: Option<String>,
    /// Whose it is: a to z, digits and hyphens
    team: Option<String>,
    /// In how many seconds somebody should take care of what happens to it; as the server's setting says unless given
    ack_target_secs: Option<i64>,
    /// How many of its incidents may be open at once, 1 to 50,000; as the server's setting says unless given
    max_open: Option<i64>,
}

/// How a service should be
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeService {
    /// Its name for people
    name: String,
    /// Until when what happens to it wakes nobody, RFC 3339; no maintenance when it is not there
    maintenance_until: Option<String>,
    /// Whose it is: a to z, digits and hyphens; nobody's when it is not there
    team: Option<String>,
    /// In how many seconds somebody should take care of what happens to it; as the server's setting says when it is not there
    ack_target_secs: Option<i64>,
    /// How many of its incidents may be open at once, 1 to 50,000; as the server's setting says when it is not there
    max_open: Option<i64>,
}

/// List services
#[utoipa::path(
    get, path = "/api/v1/services", tag = "services", operation_id = "list_services",
    params(ServicesParams),
    responses((status = 200, description = "A page of services", body = ServiceList)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<ServicesParams>,
) -> Result<Json<ServiceList>, Problem> {
    let limit = page_limit(params.limit)?;
    params.cursor.as_ref().map_or(Ok(()), |cursor| check_text("cursor", cursor, SLUG_MAX))?;
    let services = api.incidents()?.store().services.services(params.cursor, limit).await?;
    let next_cursor = services.last().filter(|_| services.len() == limit as usize).map(|last| last.slug.clone());
    Ok(Json(ServiceList { data: services.into_iter().map(ServiceInfo::from).collect(), next_cursor }))
}

/// Make a service
#[utoipa::path(
    post, path = "/api/v1/services", tag = "services", operation_id = "create_service",
    request_body = CreateService,
    responses(
        (status = 201, description = "It is made", body = ServiceInfo),
        (status = 409, description = "The slug is taken", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn create(State(api): State<Api>, body: JsonText) -> Result<(StatusCode, Json<ServiceInfo>), Problem> {
    let CreateService { slug, name, team, ack_target_secs, max_open } = parse(body.text()?, api.limits)?;
    check_name("slug", &slug)?;
    check_affairs(team.as_deref(), ack_target_secs, max_open)?;
    let name = name.unwrap_or_else(|| slug.clone());
    check_text("name", &name, NAME_MAX)?;
    let (id, created_at) = (Uuid::now_v7(), unix_micros());
    let service = Service { id, slug, name, maintenance_until: None, team, ack_target_secs, max_open, created_at };
    if !api.incidents()?.store().services.create_service(service.clone()).await? {
        return Err(Problem::taken("there is a service with this slug"));
    }
    Ok((StatusCode::CREATED, Json(service.into())))
}

/// See a service
#[utoipa::path(
    get, path = "/api/v1/services/{slug}", tag = "services", operation_id = "get_service",
    params(("slug" = String, Path, description = "Its slug")),
    responses(
        (status = 200, description = "The service", body = ServiceInfo),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn one(State(api): State<Api>, Path(slug): Path<String>) -> Result<Json<ServiceInfo>, Problem> {
    api.service(slug).await.map(|service| Json(service.into()))
}

/// Change the name of a service, or its maintenance
///
/// While there is maintenance its incidents are `suppressed`; they are triggered when it ends.
#[utoipa::path(
    put, path = "/api/v1/services/{slug}", tag = "services", operation_id = "change_service",
    params(("slug" = String, Path, description = "Its slug")),
    request_body = ChangeService,
    responses(
        (status = 200, description = "As it is now", body = ServiceInfo),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn change(
    State(api): State<Api>,
    Path(slug): Path<String>,
    body: JsonText,
) -> Result<Json<ServiceInfo>, Problem> {
    let ChangeService { name, maintenance_until, team, ack_target_secs, max_open } = parse(body.text()?, api.limits)?;
    check_text("name", &name, NAME_MAX)?;
    let maintenance_until = maintenance_until.map(|text| read_time("maintenance_until", &text)).transpose()?;
    check_affairs(team.as_deref(), ack_target_secs, max_open)?;
    let service = Service { name, maintenance_until, team, ack_target_secs, max_open, ..api.service(slug).await? };
    if !api.incidents()?.change_service(service.clone()).await? {
        return Err(no_service());
    }
    Ok(Json(service.into()))
}

/// Forget a service that never had an incident, and its keys
#[utoipa::path(
    delete, path = "/api/v1/services/{slug}", tag = "services", operation_id = "delete_service",
    params(("slug" = String, Path, description = "Its slug")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is none", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 409, description = "It has incidents", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn remove(State(api): State<Api>, Path(slug): Path<String>) -> Result<StatusCode, Problem> {
    check_slug(&slug)?;
    match api.incidents()?.store().services.delete_service(slug).await? {
        Deleted::Done => Ok(StatusCode::NO_CONTENT),
        Deleted::Missing => Err(no_service()),
        Deleted::InUse => Err(Problem::taken("the service has incidents")),
    }
}

impl Api {
    async fn service(&self, slug: String) -> Result<Service, Problem> {
        check_slug(&slug)?;
        self.incidents()?.store().services.service(slug).await?.ok_or_else(no_service)
    }
}

/// What stands in addresses and in the names of rooms.
fn check_name(field: &str, name: &str) -> Result<(), Problem> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > SLUG_MAX || !name.bytes().all(fine) {
        let detail = format!("\"{field}\" has 1 to {SLUG_MAX} of a to z, digits and hyphens");
        return Err(Problem::bad_request(detail));
    }
    Ok(())
}

fn check_affairs(team: Option<&str>, ack_target_secs: Option<i64>, max_open: Option<i64>) -> Result<(), Problem> {
    team.map_or(Ok(()), |team| check_name("team", team))?;
    for (field, value, most) in
        [("ack_target_secs", ack_target_secs, ACK_TARGET_MAX_SECS), ("max_open", max_open, OPEN_MAX)]
    {
        if value.is_some_and(|value| !(1..=most).contains(&value)) {
            return Err(Problem::bad_request(format!("\"{field}\" is a number from 1 to {most}")));
        }
    }
    Ok(())
}

/// What cannot be a slug is not looked for.
fn check_slug(slug: &str) -> Result<(), Problem> {
    if slug.len() > SLUG_MAX || slug.contains('\0') { Err(no_service()) } else { Ok(()) }
}

fn no_service() -> Problem {
    Problem::not_found("there is no service with this slug")
}
