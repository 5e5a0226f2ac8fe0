//! Where other nodes reach this one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses of documentation, RFC 5737 and RFC 3849: whoever has a way to the world has one to them. Nothing is sent.
const AFAR: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// What the setting says, or the listener's own address. One that listens on all addresses has the one that this machine
/// has towards others (in Kubernetes the pod's), and if it has none its name.
pub(super) fn address(setting: Option<&str>, listener: SocketAddr) -> String {
    if let Some(setting) = setting {
        return setting.to_owned();
    }
    if !listener.ip().is_unspecified() {
        return listener.to_string();
    }
    let towards_others = AFAR.into_iter().filter(|afar| listener.is_ipv6() || afar.is_ipv4()).find_map(source_for);
    towards_others.map_or_else(
        || format!("{}:{}", rustix::system::uname().nodename().to_string_lossy(), listener.port()),
        |ip| SocketAddr::new(ip, listener.port()).to_string(),
    )
}

/// The address of this machine that the system would use towards another.
fn source_for(afar: IpAddr) -> Option<IpAddr> {
    let any = if afar.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((afar, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_an_address_that_they_can_use() {
        let listener = |text: &str| text.parse().unwrap();
        assert_eq!(address(Some("edge-1.internal:443"), listener("0.0.0.0:3000")), "edge-1.internal:443");
        assert_eq!(address(None, listener("10.1.2.3:3000")), "10.1.2.3:3000");
        assert_eq!(address(None, listener("[fd00::7]:3000")), "[fd00::7]:3000");
        for any in ["0.0.0.0:3000", "[::]:3000"] {
            let told = address(None, listener(any));
            let (host, port) = told.rsplit_once(':').unwrap();
            assert!(!host.is_empty() && port == "3000", "{told}");
            assert!(host.parse::<IpAddr>().is_err() || !host.parse::<IpAddr>().unwrap().is_unspecified(), "{told}");
        }
    }
}
