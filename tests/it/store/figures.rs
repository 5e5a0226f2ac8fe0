//! How things stand: the figures of dashboards.

use super::{Bench, NOW, alter, id, key, service, trigger};
use roomcast::store::{
    Actor, Created, DashboardScope, Figures, Isolation, Looked, NewIncident, Service, Severity, Status, Took, Which,
};
use uuid::Uuid;

super::contracts! {
    an_empty_database_has_figures_and_services_that_do_not_exist_have_none
    open_incidents_are_counted_by_status_severity_and_service
    targets_are_those_of_the_service_or_of_the_server
    times_are_told_for_windows_and_suppressed_incidents_count_nowhere
    minutes_are_those_of_the_clock
    only_twenty_services_are_named
}

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// The target of services that have none.
const TARGET: i64 = 5 * MINUTE;

async fn look(bench: &Bench, scope: DashboardScope, now: i64) -> Looked {
    bench.store.dashboards.figures(scope, now, TARGET).await.unwrap()
}

async fn figures(bench: &Bench, scope: DashboardScope, now: i64) -> Figures {
    match look(bench, scope, now).await {
        Looked::Figures(figures) => *figures,
        other => panic!("{other:?}"),
    }
}

fn of(slug: &str) -> DashboardScope {
    DashboardScope::Service(slug.into())
}

/// Opens an incident of a service.
async fn open(bench: &Bench, service: &str, severity: Severity, at: i64) -> Uuid {
    let actor = Actor { kind: "user", id: "ada".into(), name: "Ada".into() };
    let (id, dedup_key) = (id(), id().to_string());
    let new = NewIncident {
        id,
        service: service.into(),
        dedup_key,
        severity,
        title: "t".into(),
        details: None,
        assignee: None,
        actor,
        now: at,
    };
    let created = bench.store.incidents.create(new, None).await.unwrap();
    assert!(matches!(created, Created::New(_)), "{created:?}");
    id
}

async fn turn(bench: &Bench, incident: Uuid, status: Status, at: i64) {
    let decide = alter("incident.changed", move |after| {
        after.status = status;
        match status {
            Status::Acknowledged => after.acknowledged_at = Some(at),
            Status::Resolved => after.resolved_at = Some(at),
            _ => {}
        }
    });
    bench.store.incidents.change(Which::Id(incident), Isolation::Locked, decide).await.unwrap();
}

async fn an_empty_database_has_figures_and_services_that_do_not_exist_have_none(bench: Bench) {
    let empty = figures(&bench, DashboardScope::Global, NOW).await;
    assert_eq!((empty.at, empty.services, empty.open_total(), empty.over_target), (NOW, 0, 0, 0));
    assert_eq!((empty.top.len(), empty.open_services), (0, 0));
    assert_eq!((empty.acknowledged, empty.resolved), ([Took::default(); 3], [Took::default(); 3]));
    assert_eq!((empty.outbox_depth, empty.outbox_oldest), (0, None));
    assert_eq!((empty.triggered_per_minute, empty.resolved_per_minute), (vec![0; 60], vec![0; 60]));
    assert_eq!(look(&bench, of("api"), NOW).await, Looked::Missing);
    assert_eq!(look(&bench, DashboardScope::Team("core".into()), NOW).await, Looked::Missing);
    bench.service().await;
    assert_eq!(figures(&bench, of("api"), NOW).await.services, 1);
}

async fn open_incidents_are_counted_by_status_severity_and_service(bench: Bench) {
    let services = &bench.store.services;
    for (slug, team) in [("api", Some("core")), ("db", Some("core")), ("web", None)] {
        let service = Service { team: team.map(Into::into), ..service(slug) };
        assert!(services.create_service(service).await.unwrap());
    }
    open(&bench, "api", Severity::Critical, NOW).await;
    open(&bench, "api", Severity::Critical, NOW).await;
    let acknowledged = open(&bench, "db", Severity::Warning, NOW).await;
    turn(&bench, acknowledged, Status::Acknowledged, NOW).await;
    let snoozed = open(&bench, "web", Severity::Error, NOW).await;
    turn(&bench, snoozed, Status::Snoozed, NOW).await;
    let suppressed = open(&bench, "web", Severity::Info, NOW).await;
    turn(&bench, suppressed, Status::Suppressed, NOW).await;
    let over = open(&bench, "web", Severity::Info, NOW).await;
    turn(&bench, over, Status::Resolved, NOW).await;

    let all = figures(&bench, DashboardScope::Global, NOW).await;
    assert_eq!(all.open, [[2, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]);
    assert_eq!((all.services, all.open_services, all.open_total()), (3, 3, 5));
    let expected = [("api", 2), ("web", 2), ("db", 1)].map(|(slug, n)| (slug.to_owned(), n));
    assert_eq!(all.top, expected);
    assert_eq!((all.outbox_depth, all.outbox_oldest), (10, Some(NOW)));
    let team = figures(&bench, DashboardScope::Team("core".into()), NOW).await;
    assert_eq!((team.open, team.services), ([[2, 0, 0, 0], [0, 0, 1, 0], [0; 4], [0; 4]], 2));
    let web = figures(&bench, of("web"), NOW).await;
    assert_eq!((web.open, web.services), ([[0; 4], [0; 4], [0, 1, 0, 0], [0, 0, 0, 1]], 1));
}

async fn targets_are_those_of_the_service_or_of_the_server(bench: Bench) {
    let strict = Service { ack_target_secs: Some(60), ..service("strict") };
    for service in [strict, service("api")] {
        assert!(bench.store.services.create_service(service).await.unwrap());
    }
    for service in ["strict", "api"] {
        open(&bench, service, Severity::Critical, NOW).await;
        let seen = open(&bench, service, Severity::Critical, NOW).await;
        turn(&bench, seen, Status::Acknowledged, NOW).await;
    }
    let over = async |at| figures(&bench, DashboardScope::Global, at).await.over_target;
    assert_eq!(over(NOW + MINUTE - 1).await, 0);
    assert_eq!(over(NOW + MINUTE).await, 1);
    assert_eq!(over(NOW + TARGET).await, 2);
}

async fn times_are_told_for_windows_and_suppressed_incidents_count_nowhere(bench: Bench) {
    bench.service().await;
    let now = NOW + 200 * HOUR;
    // Acknowledged after 1 to 20 minutes within the hour, after an hour within the day, and longer ago than a week.
    for n in 1..=20 {
        let incident = open(&bench, "api", Severity::Error, now - 30 * MINUTE - n * MINUTE).await;
        turn(&bench, incident, Status::Acknowledged, now - 30 * MINUTE).await;
        turn(&bench, incident, Status::Resolved, now - 20 * MINUTE).await;
    }
    let earlier = open(&bench, "api", Severity::Error, now - 3 * HOUR).await;
    turn(&bench, earlier, Status::Acknowledged, now - 2 * HOUR).await;
    let long_ago = open(&bench, "api", Severity::Error, now - 180 * HOUR).await;
    turn(&bench, long_ago, Status::Acknowledged, now - 170 * HOUR).await;
    let hidden = open(&bench, "api", Severity::Error, now - 3 * MINUTE).await;
    turn(&bench, hidden, Status::Acknowledged, now - 2 * MINUTE).await;
    turn(&bench, hidden, Status::Suppressed, now - MINUTE).await;
    // Nobody took care of it: it counts among what is over, and nowhere else.
    let unseen = open(&bench, "api", Severity::Error, now - 30 * HOUR).await;
    turn(&bench, unseen, Status::Resolved, now - 29 * HOUR).await;

    let all = figures(&bench, DashboardScope::Global, now).await;
    let took = |count, mean: i64, p50: i64, p95: i64| Took { count, mean: Some(mean), p50: Some(p50), p95: Some(p95) };
    let hour = took(20, 630 * SECOND, 10 * MINUTE, 19 * MINUTE);
    assert_eq!(all.acknowledged[0], hour);
    let mean = (20 * 630 * SECOND + HOUR + 10) / 21;
    assert_eq!(all.acknowledged[1..], [took(21, mean, 11 * MINUTE, 20 * MINUTE); 2]);
    assert_eq!(all.resolved[0], took(20, 1_230 * SECOND, 20 * MINUTE, 29 * MINUTE));
    assert_eq!([all.resolved[1].count, all.resolved[2].count], [20, 21]);
    assert_eq!(all.resolved[2].p95, Some(30 * MINUTE), "the twentieth of 21");
}

async fn minutes_are_those_of_the_clock(bench: Bench) {
    bench.service().await;
    // Half a minute into a minute of the clock.
    let begun = NOW.div_euclid(MINUTE) * MINUTE;
    let now = begun + MINUTE / 2;
    let shown = begun - 59 * MINUTE;
    let over = open(&bench, "api", Severity::Error, shown).await;
    turn(&bench, over, Status::Resolved, begun).await;
    for at in [shown - 1, begun - 1, begun, now, now + 2 * MINUTE] {
        open(&bench, "api", Severity::Error, at).await;
    }
    let figures = figures(&bench, of("api"), now).await;
    assert_eq!(figures.minutes_from, shown);
    let heard = |minutes: &[u64]| minutes.iter().enumerate().filter(|(_, n)| **n > 0).map(|(at, n)| (at, *n)).collect();
    let (triggered, resolved): (Vec<_>, Vec<_>) =
        (heard(&figures.triggered_per_minute), heard(&figures.resolved_per_minute));
    assert_eq!(triggered, [(0, 1), (58, 1), (59, 3)], "what is ahead of the clock has happened now");
    assert_eq!(resolved, [(59, 1)]);
}

async fn only_twenty_services_are_named(bench: Bench) {
    for n in 0..23 {
        let slug = format!("s{n:02}");
        let service = service(&slug);
        let digest = [100 + n; 32];
        assert!(bench.store.services.create_service(service.clone()).await.unwrap());
        bench.store.services.create_key(key(&service, digest)).await.unwrap();
        for i in 0..=u8::from(n == 22) {
            let event = roomcast::store::Trigger { key: digest, ..trigger(&i.to_string(), NOW) };
            bench.store.incidents.ingest(event).await.unwrap().unwrap();
        }
    }
    let all = figures(&bench, DashboardScope::Global, NOW).await;
    assert_eq!((all.top.len(), all.open_services, all.open_total()), (20, 23, 24));
    assert_eq!((all.top[0].0.as_str(), all.top[0].1, all.top[19].0.as_str()), ("s22", 2, "s18"));
}
