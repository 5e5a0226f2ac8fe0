//! A load balancer of a test's own.

use super::redis::{Running, must_be_here, some_port};
use super::{TestServer, eventually};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tokio::net::TcpStream;

/// How often a port may turn out to be somebody else's.
const TRIES: usize = 20;

/// An nginx that gives each request to the next node.
#[derive(Debug)]
pub(crate) struct Nginx {
    /// What clients see: one server.
    pub(crate) front: TestServer,
    folder: PathBuf,
    _running: Running,
}

impl Nginx {
    /// Starts it in front of the nodes. `None`: there is no nginx here, and the test cannot be run; with CI set it fails.
    pub(crate) async fn start(nodes: &[TestServer]) -> Option<Self> {
        is_here().then_some(())?;
        for _ in 0..TRIES {
            let port = some_port();
            let folder = std::env::temp_dir().join(format!("roomcast-nginx-{}-{port}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("nginx.conf"), configuration(port, nodes)).unwrap();
            let mut command = Command::new("nginx");
            command.args(["-p", &folder.to_string_lossy(), "-c", "nginx.conf", "-e", "error.log"]);
            let mut running = Running::start(&mut command);
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            eventually!(running.has_ended() || TcpStream::connect(address).await.is_ok());
            // On a port that was taken somebody else may answer, until it has noticed.
            let log = std::fs::read_to_string(folder.join("error.log")).unwrap_or_default();
            if !running.has_ended() && !log.contains("[emerg]") {
                let front = TestServer::elsewhere(address, nodes[0].admin);
                return Some(Self { front, folder, _running: running });
            }
        }
        panic!("nginx does not start on any port");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A folder that stays is no fault of the test.
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}

/// Without an upstream method nginx takes one after the other.
fn configuration(port: u16, nodes: &[TestServer]) -> String {
    let servers: String = nodes.iter().map(|node| format!("server {};", node.public)).collect();
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {kind};"));
    format!(
        r#"
        daemon off; master_process off; pid nginx.pid;
        events {{ worker_connections 4096; }}
        http {{
            access_log off; {temporary}
            map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
            upstream nodes {{ {servers} keepalive 16; }}
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://nodes;
                    proxy_http_version 1.1;
                    proxy_set_header Host $host;
                    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_buffering off;
                    proxy_next_upstream off;
                }}
            }}
        }}
        "#,
        temporary = temporary.concat(),
    )
}

fn is_here() -> bool {
    let version = Command::new("nginx").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if version.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(!must_be_here(), "MISSING: nginx (CI is set, so this is a failure)");
    eprintln!("SKIPPED, THIS WAS NOT TESTED: there is no nginx");
    false
}
