//! Several nodes: one of them looks at the database, for all.

use super::{Board, NEVER, open, snapshot};
use crate::http::request;
use crate::support::postgres::Postgres;
use crate::support::redis::Redis;
use crate::support::{beside, eventually};
use roomcast::app::Bus;
use roomcast::config::{Secret, Settings};
use std::time::Duration;

const ROUNDS: u64 = 20;

/// Two nodes at one database. `None`: there is no PostgreSQL here.
async fn two(bus: Option<&Bus>, change: impl Fn(&mut Settings)) -> Option<[Board; 2]> {
    let (direct, _) = Postgres::here().await?.database().await;
    let slower = |settings: &mut Settings| {
        // The node that did not look last waits so long for the one that did.
        settings.dashboard.dashboard_floor = Duration::from_millis(250);
        change(settings);
    };
    let boards = [Board::on(&direct, bus, slower).await, Board::on(&direct, bus, slower).await];
    for board in &boards {
        eventually!(board.server.metric("roomcast_nodes", "").await == 2);
    }
    Some(boards)
}

#[tokio::test]
async fn one_node_of_two_on_a_bus_looks_at_the_database_for_both() {
    let Some(boards) = two(Some(&Bus::default()), |_| ()).await else { return };
    one_looks_for_both(boards).await;
}

#[tokio::test]
async fn one_node_of_two_on_redis_looks_at_the_database_for_both() {
    let Some(redis) = Redis::start().await else { return };
    let url = redis.url();
    let on_redis = move |settings: &mut Settings| settings.redis.redis_url = Some(Secret::new(&url));
    let Some(boards) = two(None, on_redis).await else { return };
    one_looks_for_both(boards).await;
}

async fn one_looks_for_both(boards: [Board; 2]) {
    let [here, elsewhere] = &boards;
    let mut near = here.look("dashboard:global").await;
    let mut far = elsewhere.look("dashboard:global").await;
    snapshot(&mut near).await;
    snapshot(&mut far).await;
    let before = here.looks().await + elsewhere.looks().await;
    for n in 1..=ROUNDS {
        // Whichever takes it up, and whichever says it.
        boards[usize::from(n % 2 == 0)].event("trigger", &n.to_string()).await;
        let (near, far) = (open(&mut near, n).await, open(&mut far, n).await);
        assert_eq!((&near["online"]["nodes"], &far["online"]["nodes"]), (&2.into(), &2.into()));
    }
    let looks = here.looks().await + elsewhere.looks().await - before;
    assert!((ROUNDS..=ROUNDS + ROUNDS / 5).contains(&looks), "{looks} looks for {ROUNDS} changes");

    // Whoever joins later is shown what both have heard.
    let (looks, mut late) = (here.looks().await, elsewhere.look("dashboard:global").await);
    assert_eq!(snapshot(&mut late).await["open"]["total"], ROUNDS);
    assert_eq!(here.looks().await, looks);
}

/// The other node takes over because it hears nothing any more.
#[tokio::test]
async fn another_node_goes_on_when_the_one_that_looked_is_gone() {
    let bus = Bus::default();
    let Some([here, elsewhere]) = two(Some(&bus), |_| ()).await else { return };
    let mut near = here.look("dashboard:global").await;
    snapshot(&mut near).await;
    here.event("trigger", "1").await;
    open(&mut near, 1).await;
    let mut far = elsewhere.look("dashboard:global").await;
    open(&mut far, 1).await;
    // Now it is this one that looks; and then it has nobody to look for.
    here.event("trigger", "2").await;
    open(&mut near, 2).await;
    open(&mut far, 2).await;
    near.leave("dashboard:global").await.unwrap();
    for n in 3..=5 {
        here.event("trigger", &n.to_string()).await;
        open(&mut far, n).await;
    }
    let looks = here.looks().await;
    let Board { server, .. } = &here;
    assert!(elsewhere.looks().await >= 3 && server.metric("roomcast_dashboard_refreshes_total", "done").await == looks);
    drop(here);
    elsewhere.event("trigger", "6").await;
    open(&mut far, 6).await;
}

/// A node that nobody looks at says what it has relayed, so that another one with members looks.
#[tokio::test]
async fn what_another_node_takes_up_is_seen_long_before_the_ceiling() {
    let Some([here, elsewhere]) = two(Some(&Bus::default()), |settings| {
        settings.dashboard.dashboard_ceiling = NEVER;
    })
    .await
    else {
        return;
    };
    let mut far = elsewhere.look("dashboard:service:demo").await;
    snapshot(&mut far).await;
    for n in 1..=5 {
        here.event("trigger", &n.to_string()).await;
        open(&mut far, n).await;
    }
    assert_eq!(here.looks().await, 0, "nobody looks there");
}

/// Nobody is in the room here, so nothing of what the other node sees comes here.
#[tokio::test]
async fn whoever_asks_while_another_node_looks_is_answered_once_that_is_done() {
    let Some(postgres) = Postgres::here().await else { return };
    let (direct, _) = postgres.database().await;
    let bus = Bus::default();
    let [here, elsewhere] =
        [Board::on(&direct, Some(&bus), |_| ()).await, Board::on(&direct, Some(&bus), |_| ()).await];
    let lock = postgres.lock(&direct, "incidents").await;
    let _member = elsewhere.look("dashboard:global").await;
    let looking = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1919902818 AND granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually!(lock.query_typed_one(looking, &[]).await.unwrap().get::<_, i64>(0) == 1);
    let yielded = async || here.server.metric("roomcast_dashboard_refreshes_total", "elsewhere").await;
    let ask = || beside(request(here.server.public, "GET", "/api/v1/dashboards/global", "", ""));
    let first = ask();
    eventually!(yielded().await >= 1);
    let second = ask();
    eventually!(yielded().await >= 2);
    drop(lock);
    for answer in [first, second] {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, answer.json()["scope"].clone()), (200, "global".into()), "{answer:?}");
    }
}
