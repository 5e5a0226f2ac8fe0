//! What members are told, case by case.

use super::{Cluster, DEBOUNCE, INTERVAL, ROOM, user};
use crate::config::{PresenceSettings, Settings};
use crate::hub::attendance::book::Book;

#[test]
fn members_of_all_nodes_are_told_once_of_a_user_with_several_sessions() {
    let mut cluster = Cluster::of(2);
    cluster.come(0, "ada");
    cluster.come(1, "eve");
    cluster.wait(2_000);
    assert_eq!((cluster.told(0), cluster.told(1)), (vec!["ada+eve joined".into()], vec!["ada+eve joined".into()]));
    cluster.come(1, "ada");
    cluster.come(1, "ada");
    cluster.go(0, "ada");
    cluster.wait(10_000);
    cluster.go(1, "ada");
    cluster.wait(10_000);
    assert_eq!((cluster.told(0), cluster.told(1)), (vec![], vec![]), "nobody is left on the first");
    cluster.go(1, "ada");
    cluster.wait(DEBOUNCE - 100);
    assert_eq!(cluster.told(1), Vec::<String>::new());
    cluster.wait(INTERVAL + 200);
    assert_eq!(cluster.told(1), ["ada left"]);
}

#[test]
fn whoever_comes_back_soon_has_never_left_wherever_it_comes_back() {
    let mut cluster = Cluster::of(3);
    for (node, who) in [(0, "a"), (1, "b"), (2, "c")] {
        cluster.come(node, who);
    }
    cluster.wait(2_000);
    (0..3).for_each(|node| assert_eq!(cluster.told(node).len(), 1));
    for (from, to) in [(0, 1), (1, 1), (1, 2), (2, 0)] {
        cluster.go(from, "a");
        cluster.wait(DEBOUNCE - 500);
        cluster.come(to, "a");
        cluster.wait(1_000);
    }
    cluster.wait(2 * DEBOUNCE);
    (0..3).for_each(|node| assert_eq!(cluster.told(node), Vec::<String>::new()));
}

#[test]
fn whoever_was_there_before_a_nodes_first_member_is_not_told_of_and_leaves_all_the_same() {
    let mut cluster = Cluster::of(2);
    cluster.come(0, "ada");
    cluster.wait(1_000);
    cluster.come(1, "eve");
    cluster.wait(1_000);
    assert_eq!(cluster.told(1), ["eve joined"]);
    cluster.go(0, "ada");
    cluster.wait(2 * DEBOUNCE);
    assert_eq!(cluster.told(1), ["ada left"]);
}

#[test]
fn the_only_member_comes_back_on_another_node_and_hears_nothing() {
    let mut cluster = Cluster::of(2);
    cluster.come(0, "ada");
    cluster.wait(1_000);
    cluster.go(0, "ada");
    cluster.wait(1_000);
    cluster.come(1, "ada");
    cluster.wait(2 * DEBOUNCE);
    assert_eq!((cluster.told(0), cluster.told(1)), (vec!["ada joined".into()], vec![]));
    assert_eq!(cluster.book(0).attendees(), 0, "nobody is left there to be told");
}

#[test]
fn when_a_node_dies_its_users_leave_unless_they_are_elsewhere() {
    let mut cluster = Cluster::of(2);
    for (node, who) in [(0, "ada"), (1, "ada"), (1, "eve"), (0, "zoe")] {
        cluster.come(node, who);
    }
    cluster.wait(2_000);
    cluster.told(0);
    cluster.books[1] = None;
    let now = cluster.now;
    cluster.book(0).lost("1", true, false, now);
    cluster.wait(2_000);
    assert_eq!(cluster.told(0), Vec::<String>::new(), "it heard nobody, and may be the one that is cut off");
    let now = cluster.now;
    cluster.book(0).lost("1", true, true, now);
    cluster.wait(INTERVAL + 10);
    assert_eq!(cluster.told(0), ["eve left"]);
}

#[test]
fn a_node_that_stays_silent_after_the_others_are_heard_again_is_dead() {
    let mut cluster = Cluster::of(3);
    for (node, who) in [(0, "ada"), (1, "eve"), (2, "zoe")] {
        cluster.come(node, who);
    }
    cluster.wait(2_000);
    cluster.told(0);
    let now = cluster.now;
    for dead in ["1", "2"] {
        cluster.book(0).lost(dead, true, false, now);
    }
    cluster.books[1] = None;
    cluster.beat();
    cluster.wait(14_000);
    assert_eq!(cluster.told(0), Vec::<String>::new());
    cluster.wait(3_000);
    assert_eq!(cluster.told(0), ["eve left"]);
}

#[test]
fn a_thousand_who_come_at_once_are_one_event_that_names_some_and_counts_all() {
    let mut cluster = Cluster::of(2);
    cluster.come(1, "first");
    cluster.wait(1_000);
    cluster.told(1);
    (0..1_000).for_each(|n| cluster.come(0, &format!("user-{n}")));
    cluster.wait(2 * INTERVAL);
    for node in 0..2 {
        let told = std::mem::take(&mut cluster.told[node]);
        assert_eq!((told.len(), told[0].1, told[0].2.len()), (1, 1_000, 100), "node {node}");
    }
}

#[test]
fn attendees_are_bounded_and_leave_nothing_behind() {
    let settings = Settings::default().presence;
    let mut book = Book::new(&PresenceSettings { presence_attendees: 3, ..settings }, 1, false);
    (0..5).for_each(|n| book.came(ROOM, user(&n.to_string()), None, 0));
    assert_eq!((book.attendees(), book.refused), (3, 2));
    let told = book.work(true, INTERVAL).announcements;
    assert_eq!(told[0].joined.count, 3);
    (0..5).for_each(|n| book.went(ROOM, user(&n.to_string()), 1_000));
    assert_eq!((book.attendees(), book.leaving()), (3, 3));
    (1_000..1_000 + DEBOUNCE).step_by(100).for_each(|now| assert!(book.work(true, now).announcements.is_empty()));
    let last = book.work(true, 1_000 + DEBOUNCE);
    assert_eq!((book.attendees(), book.leaving(), last.next), (0, 0, None));
}
