//! What dashboards are about, and the names of their rooms.

use crate::protocol::name::DASHBOARD_ROOMS;
use crate::store::DashboardScope;

/// Longest name of a service or a team.
const NAME_MAX: usize = 64;

/// The scope of a room. `None`: it is no dashboard.
pub(super) fn of_room(room: &str) -> Option<DashboardScope> {
    parse(room.strip_prefix(DASHBOARD_ROOMS)?)
}

/// The scope that is called so.
pub(super) fn parse(text: &str) -> Option<DashboardScope> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let named = |name: &str| (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(fine);
    match text.split_once(':') {
        None => (text == "global").then_some(DashboardScope::Global),
        Some(("team", name)) if named(name) => Some(DashboardScope::Team(name.to_owned())),
        Some(("service", name)) if named(name) => Some(DashboardScope::Service(name.to_owned())),
        Some(_) => None,
    }
}

/// What a scope is called.
pub(super) fn show(scope: &DashboardScope) -> String {
    match scope {
        DashboardScope::Global => "global".into(),
        DashboardScope::Team(name) => format!("team:{name}"),
        DashboardScope::Service(slug) => format!("service:{slug}"),
    }
}

/// The room of a scope.
pub(super) fn room(scope: &DashboardScope) -> String {
    format!("{DASHBOARD_ROOMS}{}", show(scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_and_scopes_belong_together() {
        let scopes = [
            DashboardScope::Global,
            DashboardScope::Team("core-1".into()),
            DashboardScope::Service("x".repeat(NAME_MAX)),
        ];
        for scope in scopes {
            assert_eq!(of_room(&room(&scope)), Some(scope));
        }
        for other in ["dashboard:", "dashboard:all", "dashboard:team:", "dashboard:service:A", "dashboard:user:x"] {
            assert_eq!(of_room(other), None, "{other}");
        }
        assert_eq!(of_room("global"), None);
        assert_eq!(of_room(&format!("dashboard:service:{}", "x".repeat(NAME_MAX + 1))), None);
    }
}
