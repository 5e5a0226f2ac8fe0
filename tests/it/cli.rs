//! Goal: the program does what its help says, and says what is wrong. Method: run the real binary with an environment of
//! its own, its output in files, and look at exit codes, output and sockets.

use crate::tls::Certificate;
use clap::Parser as _;
use roomcast::config::{AuthSettings, reference};
use roomcast::lifecycle;
use roomcast::session::Access;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SECRET: &str = "correct-horse-battery-staple-0123456789";
const PATIENCE: Duration = Duration::from_secs(20);

/// The program with these arguments and nothing in its environment.
fn roomcast(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomcast"));
    command.env_clear().args(args).stdin(Stdio::null());
    command
}

fn with_secret(args: &[&str]) -> Command {
    let mut command = roomcast(args);
    command.env("ROOMCAST_AUTH_SECRET", SECRET);
    command
}

/// What a command answers that ends by itself: exit code, stdout, stderr.
fn answer(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("roomcast-cli-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The path of a new file.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// What `look` finds, once it does; fails with `what` when that takes too long.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = lifecycle::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(lifecycle::now().saturating_duration_since(began) < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A command that goes on until it is stopped.
struct Running {
    child: Child,
    folder: Folder,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let folder = Folder::new();
        let output = |name| File::create(folder.0.join(name)).unwrap();
        let child = command.stdout(output("stdout")).stderr(output("stderr")).spawn().unwrap();
        Self { child, folder }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.0.join(name)).unwrap()
    }

    /// Waits for a line of its output that has `part`.
    fn line(&self, name: &str, part: &str) -> String {
        let find = || self.read(name).lines().find(|line| line.contains(part)).map(str::to_owned);
        eventually(&format!("{part:?} in {name}: {}", self.folder.0.display()), find)
    }

    /// Waits until it serves. Returns the public and the operators' address.
    fn addresses(&self) -> (String, String) {
        let line = self.line("stderr", "\"listening\"");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = |key: &str| line[key].as_str().unwrap().to_owned();
        (address("public"), address("admin"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn exit_code(&mut self) -> i32 {
        eventually("the end of the process", || self.child.try_wait().unwrap()).code().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

const ANY_PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

fn dev() -> Running {
    Running::start(roomcast(&["dev"]).args(ANY_PORTS))
}

// === settings ===

#[test]
fn serve_without_a_good_secret_says_in_one_line_what_to_set() {
    for secret in [None, Some("too short")] {
        let mut command = roomcast(&["serve"]);
        command.envs(secret.map(|secret| ("ROOMCAST_AUTH_SECRET", secret)));
        let (code, stdout, stderr) = answer(&mut command);
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (2, "", 1), "{stderr}");
        assert!(stderr.starts_with("roomcast: ") && stderr.contains("set ROOMCAST_AUTH_SECRET"), "{stderr}");
    }
}

#[test]
fn config_check_reports_every_problem() {
    let folder = Folder::new();
    let file = folder.file("a.toml", "max_rooms = \"many\"\nmax_socket = 5\noutbox_bytes = 1");
    let mut command = with_secret(&["config", "check", "--config", &file, "--namespace", "chat"]);
    let (code, stdout, stderr) = answer(command.env("ROOMCAST_PING_TIMEOUT", "5 seconds"));
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    for expected in [
        format!("roomcast: {file}: max-rooms: invalid value \"many\""),
        format!("roomcast: {file}: there is no setting \"max_socket\"; did you mean \"max-sockets\"?"),
        "roomcast: ROOMCAST_PING_TIMEOUT: \"5 seconds\" is no duration".into(),
        "roomcast: outbox-bytes (1) has no room".into(),
        "roomcast: namespace \"chat\"".into(),
    ] {
        assert!(stderr.lines().any(|line| line.starts_with(&expected)), "{expected} is not in {stderr}");
    }
    assert_eq!(stderr.lines().count(), 5, "{stderr}");
    assert_eq!(answer(&mut with_secret(&["config", "check"])), (0, "ok\n".into(), String::new()));
    let (code, stdout, _) = answer(&mut roomcast(&["config", "check", "--auth-jwks-url", "https://a.example/keys"]));
    assert!(code == 0 && stdout.starts_with("ok\nwarning: auth-jwks-url without auth-audience"), "{stdout}");
    assert_eq!(answer(&mut roomcast(&["config", "check"])).0, 2, "a server could not start without a secret");
}

#[test]
fn config_check_reports_every_bad_entry_of_a_list() {
    let folder = Folder::new();
    let file = folder.file("a.toml", "room-policy = [\"a* join=no\", \"fine* join=token\", \"b*\"]");
    let mut command = with_secret(&["config", "check", "--config", &file]);
    let variables = [
        ("ROOMCAST_API_KEYS", "a=hunter2,fine=0123456789abcdef,b:rooms=hunter2hunter2hunter2"),
        ("ROOMCAST_TRUSTED_PROXIES", "10.0.0.0/99,10.0.0.1,proxy"),
    ];
    let (code, _, stderr) = answer(command.envs(variables));
    for expected in [
        "api-key number 1 is too weak",
        "api-key b: there is no scope \"rooms\"",
        "ROOMCAST_TRUSTED_PROXIES: \"10.0.0.0/99\"",
        "ROOMCAST_TRUSTED_PROXIES: \"proxy\"",
        &format!("{file}: room-policy: invalid value \"a* join=no\""),
        &format!("{file}: room-policy: invalid value \"b*\""),
    ] {
        assert!(stderr.lines().any(|line| line.starts_with(&format!("roomcast: {expected}"))), "{expected}: {stderr}");
    }
    assert_eq!((code, stderr.lines().count()), (2, 6), "{stderr}");
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
    let folder = Folder::new();
    let file = folder.file("a.toml", "max_rooms = 1\nmax-sockets = 1\nmax_fragments = 1\nnamespace = [\"/a\", \"/b\"]");
    let mut command = roomcast(&["config", "print", "--max-rooms", "3"]);
    command.envs([("ROOMCAST_CONFIG", file.as_str()), ("ROOMCAST_MAX_ROOMS", "2"), ("ROOMCAST_MAX_SOCKETS", "2")]);
    // What a compose file makes of a variable that is not set.
    let (code, stdout, stderr) = answer(command.env("ROOMCAST_MAX_FRAGMENTS", ""));
    assert_eq!(code, 0, "{stderr}");
    let line = |key: &str| {
        stdout.lines().find(|line| line.starts_with(key)).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("max_rooms ="), "max_rooms = 3 # flag");
    assert_eq!(line("max_sockets"), "max_sockets = 2 # env");
    assert_eq!(line("max_fragments"), "max_fragments = 1 # file");
    assert_eq!(line("namespace"), "namespace = [\"/a\", \"/b\"] # file");
    assert_eq!(line("max_attachments"), "max_attachments = 10 # default");
    assert_eq!(answer(&mut with_secret(&["config", "check", "--config", &folder.file("b.toml", &stdout)])).0, 0);
}

#[test]
fn a_settings_file_counts_for_every_command_that_has_the_setting() {
    let folder = Folder::new();
    let file = folder.file("a.toml", "auth_secret = \"short\"\nadmin_listen = \"127.0.0.1:1\"\nlisten = \"0.0.0.0:0\"");
    let (code, _, stderr) = answer(&mut roomcast(&["token", "--sub", "ada", "--config", &file]));
    assert!(code == 2 && stderr.contains("has 5 bytes"), "{stderr}");
    let (code, _, stderr) = answer(&mut roomcast(&["healthcheck", "--config", &file]));
    assert!(code == 1 && stderr.contains("127.0.0.1:1: connection refused"), "{stderr}");
    let (code, _, stderr) = answer(&mut roomcast(&["dev", "--config", &file]));
    assert!(code == 2 && stderr.contains("listens on this machine only, not on 0.0.0.0:0"), "{stderr}");
    let (code, _, stderr) = answer(&mut roomcast(&["serve", "--config", "/nowhere.toml"]));
    assert!(code == 2 && stderr.starts_with("roomcast: /nowhere.toml: cannot be read"), "{stderr}");
}

#[test]
fn secrets_are_never_printed() {
    let folder = Folder::new();
    let file =
        folder.file("a.toml", &format!("auth_secret = \"{SECRET}\"\napi_key = [\"{SECRET}-key\"]\nmax_rooms = \"x\""));
    let fine = folder.file("b.toml", &format!("auth_secret = \"{SECRET}\"\napi_key = [\"{SECRET}-key\"]"));
    let broken = folder.file("c.toml", &format!("auth_secret = \"{SECRET}"));
    let key = format!("{SECRET}-key");
    for (args, variables) in [
        (&["config", "print", "--config", &fine][..], &[][..]),
        (&["config", "print", "--auth-secret", SECRET, "--api-key", &key], &[]),
        (&["config", "print"], &[("ROOMCAST_AUTH_SECRET", SECRET), ("ROOMCAST_API_KEYS", &key)]),
        (&["config", "check", "--config", &file], &[]),
        (&["config", "check", "--config", &broken], &[]),
        (
            &["serve", "--help"],
            &[("ROOMCAST_AUTH_SECRET", SECRET), ("ROOMCAST_API_KEYS", &key), ("ROOMCAST_CONFIG", &fine)],
        ),
        (&["publish", "--help"], &[("ROOMCAST_API_KEY", &key)]),
        (&["tail", "--help"], &[("ROOMCAST_TOKEN", &key)]),
        (&["serve", "--max-rooms", "x"], &[("ROOMCAST_AUTH_SECRET", SECRET), ("ROOMCAST_API_KEYS", &key)]),
    ] {
        let (_, stdout, stderr) = answer(roomcast(args).envs(variables.iter().copied()));
        assert!(!stdout.is_empty() || !stderr.is_empty());
        assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET), "{args:?}: {stdout}{stderr}");
    }
}

#[test]
fn a_running_server_logs_no_secret_and_no_token() {
    let (key, scoped) = (format!("{SECRET}-key"), format!("board:rooms:read={SECRET}-other"));
    let mut server = Running::start(
        with_secret(&["serve", "--log", "trace", "--api-key", &key, "--api-key", &scoped, "--drain-delay", "0"])
            .args(ANY_PORTS),
    );
    let (public, _) = server.addresses();
    let token = answer(&mut with_secret(&["token", "--sub", "ada"])).1.trim().to_owned();
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (path, headers, status) in [
        (format!("/ws?token={token}"), upgrade.to_owned(), "101"),
        (format!("/ws?token={token}x"), upgrade.to_owned(), "401"),
        ("/ws".to_owned(), format!("{upgrade}Authorization: Bearer {token}\r\n"), "101"),
        ("/ws".to_owned(), format!("{upgrade}Authorization: Bearer {token}x\r\n"), "401"),
        ("/api/v1/rooms".to_owned(), format!("Authorization: Bearer {key}\r\n"), "200"),
        ("/api/v1/sessions".to_owned(), format!("Authorization: Bearer {SECRET}-other\r\n"), "403"),
    ] {
        let mut stream = std::net::TcpStream::connect(&public).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(std::str::from_utf8(&head[9..]).unwrap(), status, "{path}");
    }
    server.line("stderr", "refused a token");
    server.line("stderr", "refused a key of the HTTP API");
    server.signal(Signal::TERM);
    server.exit_code();
    let log = server.read("stderr") + &server.read("stdout");
    let signature = token.rsplit_once('.').unwrap().1;
    assert!(!log.contains(SECRET) && !log.contains(signature), "{log}");
}

/// Sends a request without a body and returns the status.
fn ask(to: &str, request: &str, key: &str) -> u16 {
    let mut stream = std::net::TcpStream::connect(to).unwrap();
    let headers = format!("Host: localhost\r\nAuthorization: Bearer {key}\r\nContent-Length: 0\r\n");
    write!(stream, "{request} HTTP/1.1\r\n{headers}\r\n").unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

#[test]
fn a_server_is_ready_soon_after_it_has_started() {
    let start = || {
        let began = lifecycle::now();
        let running = dev();
        let (public, _) = running.addresses();
        eventually("readiness", || (ask(&public, "GET /readyz", "") == 200).then_some(()));
        lifecycle::now().saturating_duration_since(began)
    };
    // Other tests run at the same time.
    let quickest = (0..3).map(|_| start()).min().unwrap();
    assert!(quickest < Duration::from_secs(2), "{quickest:?}");
}

#[test]
fn the_log_says_which_service_did_what_to_whom_and_does_not_drown_in_refusals() {
    let key = format!("{SECRET}-key");
    let keys = format!("guard:sessions:write+tokens:revoke+rooms:read={key}");
    let server = Running::start(with_secret(&["serve", "--api-key", &keys, "--drain-delay", "0"]).args(ANY_PORTS));
    let (public, _) = server.addresses();
    assert_eq!(ask(&public, "GET /api/v1/rooms", &key), 200);
    assert_eq!(ask(&public, "DELETE /api/v1/sessions/AAAAAAAAAAAAAAAAAAAA", &key), 404);
    assert_eq!(ask(&public, "POST /api/v1/tokens/t%2F1/revoke", &key), 200);
    for _ in 0..40 {
        assert_eq!(ask(&public, "GET /api/v1/sessions", &key), 403);
    }
    assert_eq!(ask(&public, "POST /api/v1/users/ada/disconnect", &key), 200);
    server.line("stderr", "/api/v1/users/{user}/disconnect");
    let log: Vec<serde_json::Value> =
        server.read("stderr").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |message: &str| log.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    let acted: Vec<_> = said("a service acted")
        .iter()
        .map(|line| ["key", "method", "route", "about"].map(|field| line[field].as_str().unwrap().to_owned()).join(" "))
        .collect();
    assert_eq!(
        acted,
        [
            "guard DELETE /api/v1/sessions/{sid} AAAAAAAAAAAAAAAAAAAA",
            "guard POST /api/v1/tokens/{jti}/revoke t%2F1",
            "guard POST /api/v1/users/{user}/disconnect ada",
        ]
    );
    let refused = said("refused a key of the HTTP API");
    assert!((1..40).contains(&refused.len()), "{refused:?}");
    assert_eq!((&refused[0]["key"], &refused[0]["reason"]), (&"guard".into(), &"scope".into()));
}

#[test]
fn a_server_says_at_its_start_how_it_is_set() {
    let started = |args: &[&str]| {
        let server = Running::start(
            with_secret(&["serve", "--workers", "1", "--trusted-proxy", "10.0.0.0/8"]).args(args).args(ANY_PORTS),
        );
        server.addresses();
        let line: serde_json::Value = serde_json::from_str(&server.line("stderr", "settings in short")).unwrap();
        let text = ["mode", "tls", "tokens"].map(|field| line[field].as_str().unwrap().to_owned()).join(" ");
        let counts = ["api_keys", "trusted_proxies", "workers"].map(|field| line[field].as_u64().unwrap());
        assert!(!server.read("stderr").contains(SECRET));
        (text, counts, server.read("stderr").contains("the HTTP API is closed: no api-key"))
    };
    assert_eq!(started(&[]), ("authenticated off secret".into(), [0, 1, 1], true));
    let keys = format!("a={SECRET}-a,b={SECRET}-b");
    assert_eq!(started(&["--api-key", &keys]), ("authenticated off secret".into(), [2, 1, 1], false));
}

#[test]
fn every_setting_that_is_a_secret_is_hidden_wherever_it_comes_from() {
    let folder = Folder::new();
    let print = |command: &mut Command| answer(command.args(["config", "print"])).1;
    let hidden: Vec<String> = print(with_secret(&[]).env("ROOMCAST_API_KEYS", format!("a={SECRET},b:admin={SECRET}x")))
        .lines()
        .filter(|line| line.contains("\"***\""))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect();
    assert_eq!(hidden, ["auth_secret", "api_key"]);
    let (secret, keys) =
        (folder.file("secret", SECRET), folder.file("keys", &format!("a={SECRET}\nb=weak-{SECRET}\n")));
    let files = [("ROOMCAST_AUTH_SECRET_FILE", secret.as_str()), ("ROOMCAST_API_KEYS_FILE", keys.as_str())];
    for args in [
        &["config", "print"][..],
        &["config", "check"],
        &["config", "room", "r"],
        &["config", "check", "--api-key", "x"],
    ] {
        let (_, stdout, stderr) = answer(roomcast(args).envs(files));
        assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET), "{args:?}: {stdout}{stderr}");
    }
}

#[test]
fn a_wrong_key_is_reported_without_showing_it() {
    for (flags, expected) in [
        (["--api-key", "app:rooms=hunter2hunter2hunter2"], "there is no scope \"rooms\""),
        (["--api-key", "app=hunter2"], "number 1 is too weak"),
        (["--api-key", "a=hunter2hunter2hunter2,a=hunter2hunter2hunter3"], "two keys have this name"),
        (["--api-key", "a=sha256:hunter2"], "64 hexadecimal digits"),
        (["--auth-algorithms", "RS256"], "RS256 does not go with auth-secret"),
        (["--auth-jwks-url", "https://issuer.example/keys"], "auth-secret and auth-jwks-url are given"),
        (["--auth-public-key-file", "/nowhere.pem"], "auth-public-key-file: cannot read /nowhere.pem"),
        (["--auth-jwks-ca-file", "/nowhere.pem"], "auth-jwks-ca-file: cannot read /nowhere.pem"),
    ] {
        let (code, _, stderr) = answer(with_secret(&["config", "check"]).args(flags));
        assert!(code == 2 && stderr.contains(expected) && !stderr.contains("hunter2"), "{flags:?}: {stderr}");
    }
    let (code, _, stderr) = answer(with_secret(&["config", "check"]).args(["--auth-algorithms", "none"]));
    assert!(code == 2 && stderr.contains("none"), "{stderr}");
}

#[test]
fn serve_needs_one_way_to_verify_tokens() {
    let folder = Folder::new();
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let (public, private) =
        (folder.file("public.pem", pem), folder.file("private.pem", &pem.replace("PUBLIC", "PRIVATE")));
    for (variable, value) in [
        ("ROOMCAST_AUTH_SECRET", SECRET),
        ("ROOMCAST_AUTH_PUBLIC_KEY_FILE", public.as_str()),
        ("ROOMCAST_AUTH_JWKS_URLS", "http://127.0.0.1:9/keys"),
    ] {
        let mut server =
            Running::start(roomcast(&["serve", "--drain-delay", "0"]).args(ANY_PORTS).env(variable, value));
        server.addresses();
        server.signal(Signal::TERM);
        assert_eq!(server.exit_code(), 0, "{variable}");
    }
    for (variable, value, expected) in [
        ("ROOMCAST_AUTH_PUBLIC_KEY_FILE", private.as_str(), "this is a private key"),
        ("ROOMCAST_AUTH_JWKS_URLS", "file:///etc/passwd", "write https://HOST/PATH"),
        ("ROOMCAST_AUTH_JWKS_URLS", "https://user:hunter2@issuer.example/", "no user and no password"),
    ] {
        let (code, _, stderr) = answer(roomcast(&["serve"]).env(variable, value));
        assert!(code == 2 && stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn dev_with_keys_of_somebody_else_signs_no_tokens() {
    let mut dev = roomcast(&["dev", "--auth-jwks-url", "http://127.0.0.1:9/keys"]);
    let server = Running::start(dev.args(ANY_PORTS));
    server.addresses();
    let banner = server.read("stdout");
    assert!(banner.contains("Tokens come from whoever has the private key") && !banner.contains(" ey"), "{banner}");
}

#[test]
fn config_room_says_which_policy_a_room_meets() {
    let folder = Folder::new();
    let file = folder.file(
        "a.toml",
        "room-policy = [\"incident:* join=token publish=server max-members=9\", \"* presence=off session-rate=2:5\"]",
    );
    let room = |name: &str| {
        let (code, stdout, stderr) = answer(&mut roomcast(&["config", "room", name, "--config", &file]));
        assert_eq!((code, stderr.as_str()), (0, ""));
        stdout
    };
    let incident = room("incident:42");
    for expected in
        ["incident:42 meets the room-policy incident:*", "join      token:", "publish   server:", "members   at most 9"]
    {
        assert!(incident.contains(expected), "{expected} is not in {incident}");
    }
    let lobby = room("lobby");
    for expected in [
        "meets the room-policy *",
        "join      anyone:",
        "presence  server:",
        "2 events per second, 5 at once, from one session",
    ] {
        assert!(lobby.contains(expected), "{expected} is not in {lobby}");
    }
    let (code, stdout, _) = answer(&mut with_secret(&["config", "check", "--config", &file]));
    assert!(
        code == 0 && stdout.starts_with("ok\n") && stdout.contains("room-policy incident:* join=token"),
        "{stdout}"
    );
    let (_, stdout, _) = answer(&mut roomcast(&["config", "room", "a:b"]));
    assert!(stdout.contains("its name has a colon, so it is reserved"), "{stdout}");
    let (code, _, stderr) = answer(&mut roomcast(&["config", "room", "a\nb"]));
    assert!(code == 2 && stderr.contains("control characters"), "{stderr}");
    let (code, _, stderr) = answer(&mut roomcast(&["config", "room", "a", "--room-policy", "a joins=token"]));
    assert!(code == 2 && stderr.contains("there are join, publish"), "{stderr}");
}

#[test]
fn secrets_come_from_files_too_but_not_from_two_places() {
    let folder = Folder::new();
    let (secret, keys) = (folder.file("secret", &format!("{SECRET}\n")), folder.file("keys", "short\n"));
    let (code, stdout, stderr) = answer(&mut roomcast(&["token", "--sub", "ada", "--auth-secret-file", &secret]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(verify(&stdout).is_some());
    let mut both = with_secret(&["config", "check", "--auth-secret-file", &secret, "--api-keys-file", &keys]);
    let (code, _, stderr) = answer(&mut both);
    assert!(code == 2 && stderr.contains("auth-secret and auth-secret-file are both given"), "{stderr}");
    assert!(stderr.contains("api-key number 1 is too weak"), "{stderr}");
}

#[test]
fn the_documentation_has_the_table_of_all_settings() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md")).unwrap();
    let between =
        page.split_once("<!-- settings:begin -->").and_then(|(_, rest)| rest.split_once("<!-- settings:end -->"));
    let (table, _) = between.expect("docs/settings.md has the markers of the settings table");
    assert!(
        table.trim() == reference().trim(),
        "the table of settings is stale; run: cargo run -- config reference --write docs/settings.md"
    );
    assert_eq!(answer(&mut roomcast(&["config", "reference"])).1, reference());
}

// === commands ===

fn verify(token: &str) -> Option<(String, Option<String>)> {
    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        auth: AuthSettings,
    }
    let auth = Arguments::parse_from(["test", "--auth-secret", SECRET]).auth;
    let identity = Access::new(&auth, 32, false, Arc::default()).unwrap().look_again(token.trim())?;
    Some((identity.user.clone().unwrap(), identity.info.clone()))
}

#[test]
fn a_token_says_what_was_asked_for() {
    let granted = ["token", "--sub", "ada", "--jti", "t1", "--room", "incident:*=join+publish"];
    let (code, stdout, _) = answer(&mut with_secret(&granted));
    assert!(code == 0 && verify(&stdout).is_some());
    let (code, _, stderr) = answer(&mut with_secret(&["token", "--sub", "ada", "--room", "incident:*=enter"]));
    assert!(code == 2 && stderr.contains("\"enter\" is no right"), "{stderr}");
    let args = ["token", "--sub", "ada", "--ttl", "5m", "--info", r#"{"name":"Ada"}"#];
    let (code, stdout, stderr) = answer(&mut with_secret(&args));
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(verify(&stdout), Some(("ada".into(), Some(r#"{"name":"Ada"}"#.into()))));
    let (code, _, stderr) = answer(&mut with_secret(&["token", "--sub", "ada", "--info", "Ada"]));
    assert!(code == 2 && stderr.contains("no JSON"), "{stderr}");
    let (code, _, stderr) = answer(&mut roomcast(&["token", "--sub", "ada"]));
    assert!(code == 2 && stderr.contains("set ROOMCAST_AUTH_SECRET"), "{stderr}");
}

#[test]
fn dev_tells_its_addresses_and_everything_in_them_works() {
    let mut server = dev();
    let (public, admin) = server.addresses();
    let banner = server.read("stdout");
    for url in
        ["http://{}/socket.io/", "ws://{}/ws", "http://{}/api/v1/rooms", "curl ", "wscat -c 'ws://{}/ws?room=lobby'"]
    {
        assert!(banner.contains(&url.replace("{}", &public)), "{url} is not in {banner}");
    }
    assert!(banner.contains(&format!("http://{admin}/metrics")), "{banner}");
    assert!(banner.contains(&format!("http://{public}/\n")), "the page is not in {banner}");
    let token = banner.lines().map(str::trim).find(|line| line.starts_with("ey")).expect("a token is in the banner");

    let url = format!("http://{public}");
    let tail = Running::start(&mut roomcast(&["tail", "lobby", "a/b", "--url", &url, "--token", token]));
    tail.line("stderr", "watching on");
    for (room, data) in [("lobby", "{\"n\":1}"), ("a/b", "\"two\"")] {
        let (code, _, stderr) =
            answer(&mut roomcast(&["publish", room, "--event", "cursor", "--data", data, "--url", &url]));
        assert_eq!((code, stderr.as_str()), (0, ""));
        let event: serde_json::Value = serde_json::from_str(&tail.line("stdout", data)).unwrap();
        assert_eq!((event["room"].as_str(), event["event"].as_str()), (Some(room), Some("cursor")));
        assert_eq!(event["data"].to_string(), data);
    }

    for reserved in ["incident:7", "service:api", "team:night", "dashboard:global", "incidents"] {
        let tail = Running::start(&mut roomcast(&["tail", reserved, "--url", &url, "--token", token]));
        tail.line("stderr", "watching on");
    }
    let stranger = answer(&mut roomcast(&["tail", "incident:7", "--url", &url]));
    assert!(stranger.0 == 1 && stranger.2.contains("incident:7"), "a name with a colon needs a token: {stranger:?}");

    let check = || answer(&mut roomcast(&["healthcheck", "--admin-listen", &admin]));
    assert_eq!(check(), (0, "ready\n".into(), String::new()));
    server.signal(Signal::INT);
    assert_eq!(server.exit_code(), 0, "{}", server.read("stderr"));
    let (code, _, stderr) = check();
    assert!(code == 1 && stderr.contains("connection refused"), "{stderr}");
}

#[test]
fn tail_shows_once_what_is_said_in_several_rooms_at_once() {
    let server = dev();
    let public = server.addresses().0;
    let tail = Running::start(&mut roomcast(&["tail", "lobby", "news", "--url", &format!("http://{public}")]));
    tail.line("stderr", "watching on");
    let body = r#"[{"rooms":["lobby","news"],"event":"both","data":17},{"rooms":["news"],"event":"one","data":18}]"#;
    let mut stream = std::net::TcpStream::connect(&public).unwrap();
    let head = format!("POST /api/v1/events HTTP/1.1\r\nHost: {public}\r\nContent-Length: {}", body.len());
    write!(stream, "{head}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{body}").unwrap();
    let one: serde_json::Value = serde_json::from_str(&tail.line("stdout", "\"one\"")).unwrap();
    assert_eq!((one["room"].as_str(), one["data"].as_u64()), (Some("news"), Some(18)));
    let shown = tail.read("stdout");
    let both: serde_json::Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
    assert_eq!((both["event"].as_str(), both.get("room"), shown.lines().count()), (Some("both"), None, 2), "{shown}");
}

#[test]
fn publish_and_tail_speak_tls_with_whom_they_trust() {
    let certificate = Certificate::new("clients");
    let files = [certificate.cert(), certificate.key()].map(|path| path.to_str().unwrap().to_owned());
    let tls = ["dev", "--tls-cert", &files[0], "--tls-key", &files[1]];
    let server = Running::start(roomcast(&tls).args(ANY_PORTS));
    let port = server.addresses().0.rsplit_once(':').unwrap().1.to_owned();
    let (http, ws) = (format!("https://localhost:{port}"), format!("wss://localhost:{port}"));
    let mut tail = Running::start(&mut roomcast(&["tail", "lobby", "--url", &ws, "--ca", &files[0]]));
    tail.line("stderr", "watching on");
    let publish =
        |url: &str, more: &[&str]| answer(roomcast(&["publish", "lobby", "--data", "17", "--url", url]).args(more));
    let trusting: &[&str] = &["--ca", &files[0]];
    let (code, stdout, stderr) = publish(&http, trusting);
    assert_eq!((code, stdout.as_str()), (0, "{\"room\":\"lobby\"}\n"), "{stderr}");
    tail.line("stdout", "17");
    let (code, _, stderr) = publish(&http, &[]);
    assert!(
        code == 1 && stderr.contains("no TLS with") && stderr.contains("--ca"),
        "a stranger is not trusted: {stderr}"
    );
    let (code, _, stderr) = publish(&format!("https://127.0.0.1:{port}"), trusting);
    assert!(code == 1 && stderr.contains("no TLS with"), "it has another name: {stderr}");
    let (code, _, stderr) = publish(&format!("http://localhost:{port}"), &[]);
    assert!(code == 1 && stderr.contains("refused the event: 400"), "{stderr}");

    let (code, _, stderr) =
        answer(&mut roomcast(&["tail", "--session", "AAAAAAAAAAAAAAAAAAAA", "--url", &http, "--ca", &files[0]]));
    assert!(code == 1 && stderr.contains("the server does not show the session"), "{stderr}");
    tail.signal(Signal::INT);
    assert_eq!(tail.exit_code(), 0);
}

#[test]
fn a_hang_up_has_renewed_certificates_taken_up_and_ends_nothing() {
    let mut certificate = Certificate::new("hang-up");
    let files = [certificate.cert(), certificate.key()].map(|path| path.to_str().unwrap().to_owned());
    let tls = ["serve", "--tls-cert", &files[0], "--tls-key", &files[1], "--tls-reload", "0", "--drain-delay", "0"];
    let mut server = Running::start(with_secret(&tls).args(ANY_PORTS));
    server.addresses();
    server.signal(Signal::HUP);
    server.line("stderr", "the certificate for TLS has not changed");
    let took_up = || server.read("stderr").matches("took up a certificate for TLS").count();
    assert_eq!(took_up(), 1);
    certificate.renew(2_041);
    server.signal(Signal::HUP);
    eventually("the new certificate", || (took_up() == 2).then_some(()));
    fs::write(certificate.cert(), "no certificate").unwrap();
    for n in 1..=2 {
        server.signal(Signal::HUP);
        let complaints = || server.read("stderr").matches("the new certificate cannot be used").count();
        eventually("a complaint, each time that somebody asks", || (complaints() == n).then_some(()));
    }
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), 0, "{}", server.read("stderr"));

    let mut plain = Running::start(with_secret(&["serve", "--drain-delay", "0"]).args(ANY_PORTS));
    plain.addresses();
    plain.signal(Signal::HUP);
    plain.line("stderr", "SIGHUP: there are no files to look at again");
    plain.signal(Signal::TERM);
    assert_eq!(plain.exit_code(), 0, "{}", plain.read("stderr"));
}

#[test]
fn publish_says_why_it_was_refused() {
    let server = Running::start(with_secret(&["serve", "--api-key", "0123456789abcdef"]).args(ANY_PORTS));
    let url = format!("http://{}", server.addresses().0);
    let (code, _, stderr) = answer(&mut roomcast(&["publish", "lobby", "--data", "1", "--url", &url]));
    assert!(code == 1 && stderr.contains("refused") && stderr.contains("--api-key"), "{stderr}");
    let (code, _, stderr) =
        answer(&mut roomcast(&["publish", "lobby", "--data", "1", "--url", &url, "--api-key", "0123456789abcdef"]));
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = answer(&mut roomcast(&["publish", "lobby", "--data", "hello", "--url", &url]));
    assert!(code == 2 && stderr.contains("no JSON"), "{stderr}");
    let folder = Folder::new();
    for ca in [folder.file("empty.pem", ""), "/nowhere/ca.pem".to_owned()] {
        let (code, _, stderr) = answer(&mut roomcast(&["publish", "lobby", "--url", "https://a.example", "--ca", &ca]));
        assert!(code == 2 && stderr.contains(&format!("--ca {ca}: ")), "{stderr}");
    }
}

#[test]
fn tail_ends_when_refused_and_comes_back_when_the_server_does() {
    let mut server =
        Running::start(with_secret(&["serve", "--drain-delay", "0", "--drain-window", "0"]).args(ANY_PORTS));
    let (public, _) = server.addresses();
    let url = format!("http://{public}");
    let (code, _, stderr) = answer(&mut roomcast(&["tail", "lobby", "--url", &url]));
    assert!(code == 1 && stderr.contains("asks for a token"), "{stderr}");
    let (code, _, stderr) = answer(&mut roomcast(&["tail", "lobby", "--url", &url, "--token", "x.y.z"]));
    assert!(code == 1 && stderr.contains("the token is not valid here"), "{stderr}");

    let (_, token, _) = answer(&mut with_secret(&["token", "--sub", "ada"]));
    let mut tail = Running::start(&mut roomcast(&["tail", "lobby", "--url", &url, "--token", token.trim()]));
    tail.line("stderr", "watching on");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), 0, "{}", server.read("stderr"));
    tail.line("stderr", "connecting again in");
    let _again = Running::start(&mut with_secret(&["serve", "--listen", &public, "--admin-listen", "127.0.0.1:0"]));
    tail.line("stderr", "watching again on");
    tail.signal(Signal::INT);
    assert_eq!(tail.exit_code(), 0);
    let (code, _, stderr) = answer(&mut roomcast(&["tail", "lobby", "--url", "http://127.0.0.1:1"]));
    assert!(code == 1 && stderr.contains("connection refused"), "{stderr}");
}

// === beginning and end ===

#[test]
fn an_address_in_use_is_said_with_the_flag_to_choose_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin-listen"] {
        let mut command = roomcast(&["dev", "--log", "off"]);
        let other = if flag == "--listen" { "--admin-listen" } else { "--listen" };
        let (code, _, stderr) = answer(command.args([flag, &address, other, "127.0.0.1:0"]));
        let expected = format!("address in use (is another server running? choose another with {flag})");
        assert_eq!((code, stderr), (1, format!("roomcast: cannot listen on {address}: {expected}\n")));
    }
}

#[test]
fn sigterm_drains_and_ends_well() {
    let mut server =
        Running::start(with_secret(&["serve", "--drain-delay", "100ms", "--drain-window", "100ms"]).args(ANY_PORTS));
    let (public, _) = server.addresses();
    assert!(server.read("stderr").contains("limit of open files"));
    let (_, token, _) = answer(&mut with_secret(&["token", "--sub", "ada"]));
    let tail =
        Running::start(&mut roomcast(&["tail", "a", "--url", &format!("http://{public}"), "--token", token.trim()]));
    tail.line("stderr", "watching on");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), 0, "{}", server.read("stderr"));
    tail.line("stderr", "restart (1012)");
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server =
        Running::start(with_secret(&["serve", "--drain-delay", "20s", "--drain-deadline", "1m"]).args(ANY_PORTS));
    let (_, admin) = server.addresses();
    server.signal(Signal::TERM);
    server.line("stderr", "asked to end");
    let (code, _, stderr) = eventually("readiness to be gone", || {
        Some(answer(&mut roomcast(&["healthcheck", "--admin-listen", &admin]))).filter(|(code, ..)| *code != 0)
    });
    assert!(code == 1 && stderr.contains("not ready: 503") && stderr.contains("draining"), "{stderr}");
    let before = lifecycle::now();
    server.signal(Signal::INT);
    assert_eq!(server.exit_code(), 130);
    assert!(lifecycle::now().saturating_duration_since(before) < Duration::from_secs(10), "it went on draining");
    assert!(server.read("stderr").contains("a second signal"), "{}", server.read("stderr"));
}

#[tokio::test]
async fn tail_shows_one_session_until_it_ends() {
    let server = crate::support::TestServer::start(|_| {});
    let mut client = crate::support::NativeClient::connect(&server, roomcast::protocol::Wire::Json).await;
    let url = format!("http://{}", server.public);
    let mut tail = Running::start(&mut roomcast(&["tail", "--session", &client.sid, "--url", &url]));
    tail.line("stderr", "watching session");
    client.request(serde_json::json!({"join": "lobby"})).await.unwrap();
    let said: serde_json::Value = serde_json::from_str(&tail.line("stdout", "lobby")).unwrap();
    assert_eq!((&said["direction"], &said["kind"]), (&"in".into(), &"text".into()), "{said}");
    let told: serde_json::Value = serde_json::from_str(&tail.line("stdout", "\"out\"")).unwrap();
    assert!(told["text"].as_str().unwrap().contains("members"), "{told}");
    drop(client);
    tail.line("stderr", "the session has ended");
    assert_eq!(tail.exit_code(), 0);
    // An id may begin with a hyphen.
    for nobody in ["AAAAAAAAAAAAAAAAAAAA", "-AAAAAAAAAAAAAAAAAAA"] {
        let (code, _, stderr) = answer(&mut roomcast(&["tail", "--session", nobody, "--url", &url]));
        assert!(code == 1 && stderr.contains("does not show the session"), "{stderr}");
    }
    let (code, _, stderr) = answer(&mut roomcast(&["tail", "lobby", "--session", "x"]));
    assert!(code == 2 && stderr.contains("--session"), "{stderr}");
}
