//! The live page as browsers get it. Method: requests as browsers send them, and a look at heads and bodies.

use super::{Answer, request};
use crate::support::{NativeClient, SECRET, TestServer};
use roomcast::app::Mode;
use roomcast::protocol::Wire;
use serde_json::json;
use std::net::SocketAddr;

const BROWSER: &str = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n";

fn with_page(mode: Mode) -> TestServer {
    TestServer::start_as(mode, |settings| {
        settings.auth.auth_secret = Some(SECRET.parse().unwrap());
        settings.listen.page = true;
    })
}

async fn get(to: SocketAddr, path: &str, headers: &str) -> Answer {
    request(to, "GET", path, headers, "").await
}

/// The address of a file that the page names.
fn address_of(index: &Answer, file: &str) -> String {
    let found = index.body.split('"').find(|part| part.starts_with("/ui/") && part.ends_with(file));
    found.unwrap_or_else(|| panic!("the page does not name {file}: {}", index.body)).to_owned()
}

#[tokio::test]
async fn the_page_is_asked_for_each_time_and_its_files_are_kept_for_a_year() {
    let server = with_page(Mode::Open);
    let index = get(server.public, "/", BROWSER).await;
    assert_eq!(index.status, 200);
    assert!(index.has("cache-control: no-cache") && index.has("vary: accept"), "{index:?}");
    assert!(index.has("content-type: text/html; charset=utf-8"), "{index:?}");
    let script = get(server.public, &address_of(&index, "/app.js"), "").await;
    assert_eq!(script.status, 200);
    assert!(script.has("cache-control: public, max-age=31536000, immutable"), "{script:?}");
    assert!(script.has("content-type: text/javascript; charset=utf-8"), "{script:?}");
    assert_eq!(script.body, std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/web/app.js")).unwrap());
    // What the page does not name in its text is next to what it names.
    let nested = get(server.public, &address_of(&index, "/app.js").replace("app.js", "vendor/preact-htm.js"), "").await;
    assert_eq!(nested.status, 200);
}

#[tokio::test]
async fn who_has_the_page_is_told_so_in_few_bytes() {
    let server = with_page(Mode::Open);
    let index = get(server.public, "/", BROWSER).await;
    let tag = index.value("etag").to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let same = get(server.public, "/", &format!("{BROWSER}If-None-Match: {known}\r\n")).await;
        assert_eq!((same.status, same.body.as_str()), (304, ""), "{known}");
        assert!(same.has(&format!("etag: {tag}")) && same.has("cache-control: no-cache"), "{same:?}");
    }
    let other = get(server.public, "/", &format!("{BROWSER}If-None-Match: \"other\"\r\n")).await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn a_strict_policy_lets_the_page_load_and_ask_this_server_alone() {
    let server = with_page(Mode::Open);
    let index = get(server.public, "/", BROWSER).await;
    let policy = index.value("content-security-policy");
    for part in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
    {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(policy.contains("connect-src 'self' ws://localhost wss://localhost;"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    let script = get(server.public, &address_of(&index, "/app.js"), "").await;
    let about = get(server.public, "/page.json", "").await;
    for answer in [&index, &script, &about] {
        assert!(
            answer.has("x-content-type-options: nosniff") && answer.has("referrer-policy: no-referrer"),
            "{answer:?}"
        );
        assert!(answer.has("cross-origin-resource-policy: same-origin"), "{answer:?}");
    }
    assert!(about.has("cache-control: no-store"), "{about:?}");
}

#[tokio::test]
async fn a_file_that_is_not_there_or_of_another_build_is_a_404_that_nobody_keeps() {
    let server = with_page(Mode::Open);
    let script = address_of(&get(server.public, "/", BROWSER).await, "/app.js");
    let build = script.split('/').nth(2).unwrap();
    for path in [
        script.replace(build, "0123456789abcdef"),
        script.replace("app.js", "nothing.js"),
        script.replace("app.js", "index.html"),
        script.replace("app.js", "../Cargo.toml"),
        script.replace("app.js", "%2e%2e/Cargo.toml"),
        script.replace("app.js", ""),
        "/ui/".to_owned(),
    ] {
        let missing = get(server.public, &path, "").await;
        assert_eq!(missing.problem(), (404, "not-found".into()), "{path}");
        assert!(missing.has("cache-control: no-store"), "{missing:?}");
    }
    assert_eq!(request(server.public, "POST", &script, "", "").await.status, 405);
}

#[tokio::test]
async fn programs_get_a_few_lines_and_without_the_setting_everybody_does() {
    let (with, without) = (with_page(Mode::Open), TestServer::start(|_| ()));
    for (server, headers) in [(&with, ""), (&with, "Accept: */*\r\n"), (&without, BROWSER)] {
        let front_door = get(server.public, "/", headers).await;
        assert!(front_door.status == 200 && front_door.body.starts_with("roomcast "), "{front_door:?}");
    }
    let script = address_of(&get(with.public, "/", BROWSER).await, "/app.js");
    for path in ["/page.json", &script] {
        assert_eq!(get(without.public, path, "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_visitor_of_dev_gets_a_token_that_opens_the_rooms_of_incidents() {
    let server = with_page(Mode::Open);
    let about = get(server.public, "/page.json?user=ada", "").await.json();
    assert_eq!((&about["open"], &about["incidents"]), (&json!(true), &json!(false)));
    let token = about["token"].as_str().unwrap();
    let mut ada = NativeClient::open(&server, &format!("?token={token}"), Wire::Json).await.unwrap();
    ada.hello().await.unwrap();
    for room in ["incident:7", "service:api", "dashboard:global"] {
        assert_eq!(ada.request(json!({"join": room})).await.unwrap()["room"], room);
    }
    let there = ada.request(json!({"presence": "incident:7"})).await.unwrap();
    assert_eq!(there["members"][0]["user"], "ada");
    for bad in ["?user=", &format!("?user={}", "a".repeat(65)), "?name=ada"] {
        assert_eq!(get(server.public, &format!("/page.json{bad}"), "").await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn no_page_of_another_name_gets_a_token_of_dev() {
    let server = with_page(Mode::Open);
    // What a page asks of the site that it is from need not say so.
    for more in ["Origin: http://evil.test\r\n", "Sec-Fetch-Site: same-origin\r\n", ""] {
        let head = format!("GET /page.json HTTP/1.1\r\nConnection: close\r\nHost: evil.test\r\n{more}\r\n");
        let mut socket = crate::support::RawSocket::connect(server.public).await;
        socket.send(head.as_bytes()).await;
        let answer = socket.rest().await;
        assert!(answer.starts_with("HTTP/1.1 401") && !answer.contains("eyJ"), "{answer}");
    }
}

#[tokio::test]
async fn serve_gives_nobody_a_token() {
    let server = with_page(Mode::Authenticated);
    let about = get(server.public, "/page.json?user=ada", "").await.json();
    assert_eq!((&about["open"], about.get("token")), (&json!(false), None));
}
