//! Rules that no setting can keep alone. They are checked before anything is opened.

use super::Settings;
use std::net::SocketAddr;
use std::time::Duration;

/// Largest packet that may be allowed: above it, one packet stops its worker for too long.
const PACKET_BYTES_MAX: usize = 16 << 20;

/// What an outbox has to hold beside the largest packet: headers, and pings that wait behind it.
const OUTBOX_HEADROOM_BYTES: usize = 4 << 10;

/// Longest time that makes sense for any of the settings.
const TIME_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Longest time for which events for other nodes are collected: whoever waits for one should not notice.
const LINGER_MAX: Duration = Duration::from_millis(100);

/// Longest host name, RFC 1035.
const HOST_BYTES_MAX: usize = 253;

/// Paths that are other doors.
const TAKEN_PATHS: [&str; 6] = ["ws", "sse", "api", "openapi.json", "livez", "readyz"];

/// What was found so far.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn unless(&mut self, fine: bool, problem: impl FnOnce() -> String) {
        if !fine {
            self.0.push(problem());
        }
    }
}

impl Settings {
    /// Holds the settings against each other. Returns what is wrong, one sentence each; nothing when they can be used.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut problems = Problems(self.auth.check());
        problems.0.extend(self.rooms.check());
        problems.0.extend(self.database.check());
        problems.0.extend(self.dashboard.check());
        self.check_doors(&mut problems);
        self.check_limits(&mut problems);
        self.check_abuse(&mut problems);
        self.check_delivery(&mut problems);
        self.check_cluster(&mut problems);
        self.check_times(&mut problems);
        problems.0
    }

    fn check_doors(&self, problems: &mut Problems) {
        let listen = &self.listen;
        problems.unless(!overlap(listen.listen, listen.admin_listen), || {
            format!("listen ({}) and admin-listen ({}) are the same address", listen.listen, listen.admin_listen)
        });
        problems.unless(is_door(&listen.socketio_path), || {
            let path = &listen.socketio_path;
            format!("socketio-path {path:?} is no path of its own: it starts with /, has letters, digits and -._~, and is no other door")
        });
        for (index, name) in listen.namespaces.iter().enumerate() {
            problems.unless(is_namespace(name), || {
                format!("namespace {name:?}: a namespace starts with / and has no comma, ?, space or control character")
            });
            problems.unless(name != "/", || "namespace \"/\" is always there; leave it out".into());
            problems
                .unless(!listen.namespaces[..index].contains(name), || format!("namespace {name:?} is there twice"));
        }
        for origin in &listen.allow_origins {
            problems.unless(is_origin(origin), || {
                format!("allow-origin {origin:?} is no origin; write for example https://app.example or *")
            });
        }
        problems.unless(listen.listen_backlog > 0, || "listen-backlog is 0; nobody could connect".into());
    }

    fn check_limits(&self, problems: &mut Problems) {
        let limits = &self.limits;
        problems.unless((1..=PACKET_BYTES_MAX).contains(&limits.max_packet_bytes), || {
            "max-packet-bytes is not between 1 and 16MiB".into()
        });
        let needed = [
            ("max-fragments", limits.max_fragments as usize),
            ("max-rooms-per-session", limits.max_rooms_per_session),
            ("max-rooms", limits.max_rooms),
            ("max-tls-handshakes", self.tls.max_tls_handshakes),
            ("max-sockets", limits.max_sockets),
            ("max-body-bytes", limits.max_body_bytes),
            ("outbox-frames", self.delivery.outbox_frames),
            ("recovery-bytes", self.recovery.recovery_bytes),
            ("recovery-sessions", self.recovery.recovery_sessions),
            ("presence-attendees", self.presence.presence_attendees),
        ];
        for (name, _) in needed.into_iter().filter(|(_, value)| *value == 0) {
            problems.0.push(format!("{name} is 0; it has to be at least 1"));
        }
        for (name, rate, burst) in [
            ("packets", limits.packets_per_second, limits.packets_burst),
            ("joins", limits.joins_per_second, limits.joins_burst),
        ] {
            problems.unless(rate == 0 || burst > 0, || {
                format!("{name}-burst is 0, so nothing would be let through; for no limit set {name}-per-second to 0")
            });
        }
    }

    fn check_abuse(&self, problems: &mut Problems) {
        let abuse = &self.abuse;
        for (name, of, rate, burst) in [
            ("handshakes", "-per-address", abuse.handshakes_per_second_per_address, abuse.handshakes_burst_per_address),
            ("requests", "-per-key", abuse.requests_per_second_per_key, abuse.requests_burst_per_key),
            ("packets", "-per-user", abuse.packets_per_second_per_user, abuse.packets_burst_per_user),
            (
                "room-creations",
                "-per-session",
                abuse.room_creations_per_second_per_session,
                abuse.room_creations_burst_per_session,
            ),
            ("room-creations", "", abuse.room_creations_per_second, abuse.room_creations_burst),
        ] {
            problems.unless(rate == 0 || burst > 0, || {
                format!("{name}-burst{of} is 0, so nothing would be let through; for no limit set {name}-per-second{of} to 0")
            });
        }
        problems.unless(abuse.max_rate_limit_keys > 0, || "max-rate-limit-keys is 0; it has to be at least 1".into());
    }

    fn check_cluster(&self, problems: &mut Problems) {
        let advertise = self.redis.advertise.as_deref();
        problems.unless(advertise.is_none_or(is_host_and_port), || {
            let advertise = advertise.unwrap_or_default();
            format!("advertise {advertise:?} is no host with a port; write for example 10.0.0.7:3000 or [fd00::7]:3000")
        });
        problems.unless(self.redis.redis_linger <= LINGER_MAX, || "redis-linger is longer than 100ms".into());
    }

    fn check_delivery(&self, problems: &mut Problems) {
        let (delivery, packet) = (&self.delivery, self.limits.max_packet_bytes);
        for (name, bytes) in [("outbox-bytes", delivery.outbox_bytes), ("inbox-bytes", delivery.inbox_bytes)] {
            problems.unless(bytes >= packet.saturating_add(OUTBOX_HEADROOM_BYTES), || {
                format!(
                    "{name} ({bytes}) has no room for the largest packet: max-packet-bytes ({packet}) and 4KiB more"
                )
            });
        }
    }

    fn check_times(&self, problems: &mut Problems) {
        let (drain, heartbeat, limits, delivery) = (&self.drain, &self.heartbeat, &self.limits, &self.delivery);
        problems.unless(drain.drain_delay.saturating_add(drain.drain_window) <= drain.drain_deadline, || {
            "drain-delay and drain-window together are longer than drain-deadline".into()
        });
        let times = [
            ("ping-interval", heartbeat.ping_interval, true),
            ("ping-timeout", heartbeat.ping_timeout, true),
            ("handshake-timeout", limits.handshake_timeout, true),
            ("slow-consumer-timeout", delivery.slow_consumer_timeout, true),
            ("tcp-user-timeout", delivery.tcp_user_timeout, false),
            ("ack-timeout", delivery.ack_timeout, true),
            ("rate-limit-sweep", self.abuse.rate_limit_sweep, true),
            ("tap-duration", self.taps.tap_duration, true),
            ("recovery-window", self.recovery.recovery_window, false),
            ("presence-debounce", self.presence.presence_debounce, false),
            ("presence-interval", self.presence.presence_interval, false),
            ("tls-reload", self.tls.tls_reload, false),
            ("drain-deadline", drain.drain_deadline, false),
            ("shared-limits-timeout", self.redis.shared_limits_timeout, false),
        ];
        for (name, time, needed) in times {
            problems.unless(!needed || !time.is_zero(), || format!("{name} is 0; it has to be longer"));
            problems.unless(time <= TIME_MAX, || format!("{name} is longer than 24h"));
        }
    }
}

/// Whether both cannot be bound. Port 0 is a new port each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let all = |address: SocketAddr| address.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || all(a) || all(b))
}

fn is_door(path: &str) -> bool {
    let Some(inner) = path.strip_prefix('/') else { return false };
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    inner.split('/').all(|part| !part.is_empty() && part.bytes().all(is_fine))
        && !TAKEN_PATHS.contains(&inner.split('/').next().unwrap_or_default())
}

fn is_namespace(name: &str) -> bool {
    name.starts_with('/') && !name.contains(|c: char| matches!(c, ',' | '?') || c.is_whitespace() || c.is_control())
}

/// `host:port`; an IPv6 address has brackets.
fn is_host_and_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_name = (1..=HOST_BYTES_MAX).contains(&host.len())
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    port.parse::<u16>().is_ok_and(|port| port > 0)
        && bare.map_or(is_name, |host| host.parse::<std::net::Ipv6Addr>().is_ok())
}

/// `scheme://host[:port]`, or `*`.
fn is_origin(origin: &str) -> bool {
    let Some((scheme, site)) = origin.trim_end_matches('/').split_once("://") else { return origin == "*" };
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte);
    !scheme.is_empty()
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !site.is_empty()
        && site.bytes().all(is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches as _;

    fn check(flags: &str) -> Vec<String> {
        let command = Settings::declared().no_binary_name(true);
        let matches = command.try_get_matches_from(flags.split_whitespace()).unwrap();
        Settings::from_arg_matches(&matches).unwrap().check()
    }

    #[test]
    fn the_defaults_are_fine() {
        assert_eq!(check(""), Vec::<String>::new());
    }

    #[test]
    fn each_rule_has_a_sentence() {
        for (flags, expected) in [
            ("--drain-window 50s", "drain-delay and drain-window"),
            ("--ping-timeout 0", "ping-timeout is 0"),
            ("--ping-interval 25h", "ping-interval is longer than 24h"),
            ("--outbox-bytes 64KiB", "outbox-bytes (65536) has no room"),
            ("--inbox-bytes 1KiB", "inbox-bytes"),
            ("--max-packet-bytes 17MiB --outbox-bytes 1GiB", "max-packet-bytes is not between"),
            ("--max-packet-bytes 0", "max-packet-bytes is not between"),
            ("--namespace chat", "starts with /"),
            ("--namespace /a?b", "starts with /"),
            ("--namespace /a,/a", "twice"),
            ("--namespace /", "always there"),
            ("--socketio-path socket.io", "socketio-path"),
            ("--socketio-path /", "socketio-path"),
            ("--socketio-path /ws/", "no other door"),
            ("--socketio-path /{x}", "socketio-path"),
            ("--listen 127.0.0.1:3001", "the same address"),
            ("--listen 0.0.0.0:3001", "the same address"),
            ("--allow-origin app.example", "no origin"),
            ("--allow-origin https://app.example/path", "no origin"),
            ("--api-key short", "api-key number 1"),
            ("--auth-secret short", "auth-secret has 5 bytes"),
            ("--max-sockets 0", "max-sockets is 0"),
            ("--recovery-window 25h", "recovery-window is longer than 24h"),
            ("--recovery-sessions 0", "recovery-sessions is 0"),
            ("--packets-burst 0", "packets-burst is 0"),
            ("--handshakes-burst-per-address 0", "handshakes-burst-per-address is 0"),
            ("--requests-burst-per-key 0", "requests-burst-per-key is 0"),
            ("--packets-per-second-per-user 1 --packets-burst-per-user 0", "packets-burst-per-user is 0"),
            ("--shared-limits-timeout 25h", "shared-limits-timeout is longer than 24h"),
            ("--room-creations-burst-per-session 0", "room-creations-burst-per-session is 0"),
            ("--room-creations-burst 0", "set room-creations-per-second to 0"),
            ("--max-rate-limit-keys 0", "max-rate-limit-keys is 0"),
            ("--rate-limit-sweep 0", "rate-limit-sweep is 0"),
            ("--listen-backlog 0", "listen-backlog"),
            ("--advertise node-7", "advertise \"node-7\" is no host with a port"),
            ("--advertise :3000", "advertise"),
            ("--advertise node-7:0", "advertise"),
            ("--advertise fd00::7:3000", "advertise"),
        ] {
            let problems = check(flags);
            assert!(problems.len() == 1 && problems[0].contains(expected), "{flags}: {problems:?}");
        }
    }

    #[test]
    fn uncommon_settings_are_fine_too() {
        for flags in [
            "--listen 127.0.0.1:0 --admin-listen 127.0.0.1:0",
            "--listen 127.0.0.1:3001 --admin-listen 127.0.0.2:3001",
            "--socketio-path /a/b --namespace /chat,/news --allow-origin *,https://a.example:8443,capacitor://localhost",
            "--exempt-address none --trusted-proxy 10.0.0.0/8,fd00::/8 --handshakes-per-second-per-address 0 --handshakes-burst-per-address 0",
            "--advertise node-7.internal:443",
            "--advertise [fd00::7]:3000",
            "--packets-per-second 0 --packets-burst 0 --drain-delay 0 --drain-window 0 --drain-deadline 0",
        ] {
            assert_eq!(check(flags), Vec::<String>::new(), "{flags}");
        }
    }
}
