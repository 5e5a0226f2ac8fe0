//! A server, its replica, and three Sentinels that let the replica take over.

use super::{Redis, Resp, eventually, is_here};

/// What the Sentinels call the pair.
pub(crate) const MASTER: &str = "main";

/// A pair of servers and who watches them.
#[derive(Debug)]
pub(crate) struct Sentinels {
    /// The master and the replica, as they were at the start.
    pub(crate) servers: [Redis; 2],
    /// Who watches them; two have to agree.
    pub(crate) sentinels: Vec<Redis>,
}

impl Sentinels {
    /// Starts all five. `None`: there is no Redis here; with CI set that fails.
    pub(crate) async fn start() -> Option<Self> {
        is_here().then_some(())?;
        let none = |_| Vec::new();
        let servers = [Redis::start_on_some_port(none).await, Redis::start_on_some_port(none).await];
        let master = servers[0].port.to_string();
        servers[1].command(&["REPLICAOF", "127.0.0.1", &master]).await.fine();
        eventually!(servers[1].info("master_link_status").await == "up");
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(sentinel(&master).await);
        }
        let all = Self { servers, sentinels };
        for sentinel in &all.sentinels {
            eventually!(knows_everybody(sentinel).await);
        }
        Some(all)
    }

    /// The addresses of the Sentinels, with commas between them.
    pub(crate) fn addresses(&self) -> String {
        let addresses = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// The port of whom a Sentinel calls the master now.
    pub(crate) async fn master_port(&self) -> u16 {
        let address = self.sentinels[0].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]).await;
        address.list()[1].text().parse().unwrap()
    }
}

/// Starts a Sentinel; it keeps what it learns in its file.
async fn sentinel(master: &str) -> Redis {
    let text = format!(
        "sentinel monitor {MASTER} 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds {MASTER} 500\n\
         sentinel failover-timeout {MASTER} 2000\n"
    );
    let sentinel = Redis::start_on_some_port(|port| {
        let file = std::env::temp_dir().join(format!("roomcast-redis-{}-{port}/sentinel.conf", std::process::id()));
        std::fs::write(&file, &text).unwrap();
        vec![file.to_str().unwrap().to_owned(), "--sentinel".to_owned()]
    })
    .await;
    // They look at each other every 1 to 10 s otherwise. PING-PERIOD stays: a replica must have spoken within five of them.
    let mut hurry = vec!["SENTINEL", "DEBUG"];
    for period in ["INFO-PERIOD", "ASK-PERIOD", "PUBLISH-PERIOD"] {
        hurry.extend([period, "100"]);
    }
    sentinel.command(&hurry).await.fine();
    sentinel
}

/// Whether a Sentinel has found the replica and the two others.
async fn knows_everybody(sentinel: &Redis) -> bool {
    let Ok(mut connection) = Resp::connect(sentinel.port).await else { return false };
    let Ok(about) = connection.call(&["SENTINEL", "MASTER", MASTER]).await else { return false };
    let pairs: Vec<_> = about.list().chunks(2).map(|pair| (pair[0].text(), pair[1].text())).collect();
    let is = |name: &str, value: &str| pairs.iter().any(|pair| pair.0 == name && pair.1 == value);
    is("num-slaves", "1") && is("num-other-sentinels", "2")
}
