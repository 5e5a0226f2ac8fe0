//! What the API says about itself, for programs and for people.

use super::keys::KEY_HEADER;
use super::problem::{PROBLEM_JSON, ProblemBody};
use super::scopes::scope_of;
use super::{dashboards, events, health, incidents, monitoring, nodes, rooms, services, sessions, tap, users};
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use std::sync::LazyLock;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "roomcast", description = "Publish to rooms, see who is in them, speak to single sessions, and take care of incidents."),
    paths(
        events::publish, events::publish_batch,
        rooms::list, rooms::one, rooms::members,
        sessions::list, sessions::end, sessions::emit, tap::watch,
        nodes::list, users::disconnect, users::join, users::leave, users::revoke,
        incidents::list, incidents::one, incidents::create, incidents::edit, incidents::timeline, incidents::notes, incidents::alerts,
        incidents::acknowledge, incidents::unacknowledge, incidents::resolve, incidents::snooze, incidents::annotate,
        services::list, services::one, services::create, services::change, services::remove,
        services::keys, services::create_key, services::revoke_key,
        dashboards::global, dashboards::service, dashboards::team,
        monitoring::enqueue, monitoring::alertmanager,
        health::livez, health::readyz, front_door, document,
    ),
    components(schemas(ProblemBody)),
    modifiers(&Keys, &Problems),
)]
struct Document;

/// Every request under `/api/` but those of monitoring needs a key, in one of two headers, with the scope that its description names.
#[derive(Debug)]
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        components.add_security_scheme("header", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(KEY_HEADER))));
        for (method, path, operation) in api_operations(document).filter(|(_, path, _)| needs_key(path)) {
            let need = |scheme: &str| SecurityRequirement::new(scheme, [""; 0]);
            operation.security = Some(vec![need("bearer"), need("header")]);
            let scope = format!("Needs a key with the scope `{}`.", scope_of(&method, path).as_str());
            let said = operation.description.take().filter(|said| !said.is_empty());
            operation.description = Some(said.map_or_else(|| scope.clone(), |said| format!("{said}\n\n{scope}")));
        }
    }
}

/// The problems that every request can meet, and those that every request with a body can meet.
#[derive(Debug)]
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (_, _, operation) in api_operations(document) {
            let always = [
                ("400", "The request cannot be understood"),
                ("401", "No valid key"),
                ("403", "The key does not have the scope"),
                ("429", "Too many requests; `Retry-After` says when to try again"),
                ("500", "A fault of the server; `request_id` says where to look in its log"),
                ("503", "The node is too busy; `retry_after_ms` says when to try again"),
            ];
            let with_body = [
                ("408", "The body did not come in time"),
                ("413", "The body or the event is too large"),
                ("415", "The body is not JSON"),
            ];
            let with_body = with_body.iter().filter(|_| operation.request_body.is_some());
            for (status, description) in always.iter().chain(with_body) {
                let problem = || RefOr::T(problem(description));
                operation.responses.responses.entry((*status).to_owned()).or_insert_with(problem);
            }
            let names_one =
                |parameter: &_| matches!(parameter, RefOr::T(Parameter { name, .. }) if name == "namespace");
            if operation.parameters.iter().flatten().any(names_one) {
                let unknown = || RefOr::T(problem("There is no such namespace"));
                operation.responses.responses.entry("404".to_owned()).or_insert_with(unknown);
            }
        }
    }
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build()
}

/// Whether a path is opened by a key of the API. Monitoring shows keys of services instead.
fn needs_key(path: &str) -> bool {
    path.starts_with("/api/") && !path.starts_with("/api/v1/integrations/")
}

fn api_operations(document: &mut utoipa::openapi::OpenApi) -> impl Iterator<Item = (Method, &str, &mut Operation)> {
    let items = document.paths.paths.iter_mut().filter(|(path, _)| path.starts_with("/api/"));
    items.flat_map(|(path, item)| {
        let methods = [
            (Method::GET, &mut item.get),
            (Method::POST, &mut item.post),
            (Method::PUT, &mut item.put),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
        ];
        methods.into_iter().filter_map(|(method, operation)| Some((method, path.as_str(), operation.as_mut()?)))
    })
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "about",
    responses((status = 200, description = "OpenAPI", body = serde_json::Value)),
)]
pub(super) async fn document() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| Document::openapi().to_json().unwrap_or_default());
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}

/// What is here
#[utoipa::path(get, path = "/", tag = "about", responses((status = 200, description = "A few lines", body = String)))]
pub(super) async fn front_door() -> &'static str {
    concat!(
        "roomcast ",
        env!("CARGO_PKG_VERSION"),
        ", a realtime room server\n\n",
        "Socket.IO         /socket.io/ (the operator may have moved it)\n",
        "plain WebSocket   /ws\n",
        "HTTP API          /api/v1/\n",
        "API description   /openapi.json\n",
        "health            /livez, /readyz\n",
    )
}

#[cfg(test)]
mod tests {
    use super::super::{api_routes, monitoring_routes, open_routes, public_router, tests::api};
    use super::*;
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use serde_json::Value;
    use std::collections::BTreeSet;

    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

    fn written() -> Value {
        serde_json::from_str(&Document::openapi().to_json().unwrap()).unwrap()
    }

    /// Calls `on` with path, method and operation.
    fn each_operation(document: &Value, mut on: impl FnMut(&str, &str, &Value)) {
        for (path, item) in document["paths"].as_object().unwrap() {
            item.as_object().unwrap().iter().for_each(|(method, operation)| on(path, method, operation));
        }
    }

    #[tokio::test]
    async fn every_route_is_described_and_every_description_has_a_route() {
        let (router, document) = (TowerToHyperService::new(public_router(api())), written());
        let routes = api_routes().into_iter().chain(open_routes()).chain(monitoring_routes());
        let paths: BTreeSet<_> = routes.map(|(path, _)| path).collect();
        let described: BTreeSet<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(paths, described);
        for path in paths {
            for method in METHODS {
                let request = Request::builder().method(method.to_uppercase().as_str());
                let request = request.uri(path.replace(['{', '}'], "")).body(Body::empty()).unwrap();
                let response = router.call(request).await.unwrap();
                let exists = response.status() != StatusCode::METHOD_NOT_ALLOWED;
                assert_eq!(exists, document["paths"][path].get(method).is_some(), "{method} {path}");
            }
        }
    }

    #[test]
    fn what_needs_a_key_says_so_and_names_its_problems() {
        let document = written();
        let schemes = document["components"]["securitySchemes"].as_object().unwrap();
        each_operation(&document, |path, method, operation| {
            let needs_key = needs_key(path);
            let security = operation["security"].as_array().map(Vec::as_slice).unwrap_or_default();
            assert_eq!(security.len(), if needs_key { 2 } else { 0 }, "{method} {path}");
            let names = security.iter().flat_map(|requirement| requirement.as_object().unwrap().keys());
            names.for_each(|name| assert!(schemes.contains_key(name), "{name}"));
            if needs_key {
                let scope =
                    super::super::scopes::SCOPES.iter().find(|row| row.0 == method.to_uppercase() && row.1 == path);
                let (.., scope) = scope.unwrap_or_else(|| panic!("no scope: {method} {path}"));
                let said = format!("scope `{}`", scope.as_str());
                assert!(operation["description"].as_str().unwrap().contains(&said), "{method} {path}");
            }
            let problems = ["400", "401", "403", "500"].iter().filter(|_| needs_key);
            problems
                .for_each(|status| assert!(operation["responses"].get(status).is_some(), "{status} {method} {path}"));
        });
    }

    #[test]
    fn errors_are_problems_and_references_lead_somewhere() {
        let document = written();
        each_operation(&document, |path, method, operation| {
            for (status, response) in operation["responses"].as_object().unwrap() {
                if status.as_str() >= "400" && path.starts_with("/api/") {
                    let schema = &response["content"][PROBLEM_JSON]["schema"]["$ref"];
                    assert_eq!(schema, "#/components/schemas/Problem", "{status} {method} {path}");
                }
            }
        });
        let text = document.to_string();
        for (_, rest) in text.match_indices("\"$ref\":\"#").map(|(at, found)| text.split_at(at + found.len())) {
            let pointer = rest.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
