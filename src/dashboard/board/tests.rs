//! When a dashboard is refreshed, with moments by name.

use super::*;
use crate::store::DashboardScope;

const PACE: Pace =
    Pace { debounce: Duration::from_millis(250), floor: Duration::from_secs(1), ceiling: Duration::from_secs(5) };

/// A board at the beginning of time, and a way to name moments.
fn board() -> (Board, impl Fn(u64) -> Instant) {
    let start = Instant::now();
    (Board::new(start), move |ms| start + Duration::from_millis(ms))
}

fn snapshot(seq: i64, at: Instant) -> Arc<Snapshot> {
    Snapshot::new(&DashboardScope::Global, "{}", seq, at)
}

#[test]
fn a_board_is_refreshed_behind_the_last_change_but_neither_too_often_nor_too_late() {
    let (mut board, at) = board();
    assert_eq!(board.due(true, at(7), PACE), Some(at(7)), "what was never seen is looked at at once");
    board.begin(at(7));
    board.show(snapshot(1, at(7)));
    assert_eq!(board.due(true, at(8), PACE), Some(at(5_007)), "time goes by, too");
    board.change(at(100), 0);
    assert_eq!(board.due(true, at(100), PACE), Some(at(1_007)), "not too often");
    board.change(at(900), 0);
    assert_eq!(board.due(true, at(900), PACE), Some(at(1_150)), "behind the last change");
    for ms in (1_000..5_000).step_by(100) {
        board.change(at(ms), 0);
    }
    assert_eq!(board.due(true, at(5_000), PACE), Some(at(5_100)), "though changes do not end");
    assert_eq!(board.due(false, at(5_000), PACE), None, "nobody looks");
}

#[test]
fn what_changes_during_a_look_is_seen_by_the_next_one() {
    let (mut board, at) = board();
    board.change(at(0), 0);
    let seen = board.begin(at(1_000));
    board.change(at(1_005), 0);
    board.show(snapshot(1, at(1_000)));
    assert!(seen.is_some());
    assert_eq!(board.due(true, at(1_010), PACE), Some(at(2_000)));
    let seen = board.begin(at(2_000));
    board.fail(seen);
    assert_eq!(board.due(true, at(2_000), PACE), Some(at(3_000)), "what was not seen is looked at again");
}

#[test]
fn whoever_looked_last_goes_first() {
    let (mut board, at) = board();
    board.begin(at(0));
    board.show(snapshot(1, at(0)));
    board.change(at(1_500), 15);
    assert!(board.hear(snapshot(10, at(1_600)), at(1_600)));
    assert_eq!(board.due(true, at(1_600), PACE), Some(at(3_600)), "it may not have seen the change");
    board.change(at(1_700), 17);
    assert!(board.hear(snapshot(20, at(2_000)), at(2_000)));
    assert_eq!(board.due(true, at(2_000), PACE), Some(at(8_000)), "it has seen the change");
    assert!(!board.hear(snapshot(19, at(2_100)), at(2_100)), "an older one changes nothing");
    board.begin(at(8_000));
    board.show(snapshot(21, at(8_000)));
    assert_eq!(board.due(true, at(8_000), PACE), Some(at(13_000)), "now this node goes first");
}

#[test]
fn whoever_opens_a_board_that_is_old_has_it_refreshed_at_once() {
    let (mut board, at) = board();
    board.begin(at(0));
    board.show(snapshot(1, at(0)));
    board.open(at(4_000), 0, PACE);
    assert_eq!(board.due(true, at(4_000), PACE), Some(at(4_250)));
    board.open(at(6_000), 0, PACE);
    assert_eq!(board.due(true, at(6_000), PACE), Some(at(6_000)));
}

#[test]
fn whoever_asks_while_another_node_looks_waits_until_that_is_done() {
    let (mut board, at) = board();
    assert!(matches!(board.say(false, at(0), PACE), Said::Wait(0)));
    board.want(at(0));
    let seen = board.begin(at(0));
    assert!(matches!(board.say(false, at(1), PACE), Said::Wait(0)), "whoever asks during a look waits for it");
    board.want(at(1));
    board.yield_to_other(seen, false, at(2), PACE);
    assert_eq!((board.looks(), board.due(false, at(2), PACE)), (0, Some(at(252))), "it is asked again");
    assert!(matches!(board.say(false, at(3), PACE), Said::Wait(0)));
    board.want(at(3));
    assert_eq!(board.due(false, at(3), PACE), Some(at(252)), "no earlier, however many ask");
    let seen = board.begin(at(6_000));
    board.yield_to_other(seen, false, at(6_000), PACE);
    assert_eq!(board.due(false, at(6_000), PACE), None, "nobody waits any more");
    assert!(!board.is_wanted());
}

#[test]
fn whoever_has_members_hears_of_what_another_node_sees() {
    let (mut board, at) = board();
    assert!(matches!(board.say(true, at(0), PACE), Said::Wait(0)));
    board.want(at(0));
    let seen = board.begin(at(0));
    board.yield_to_other(seen, true, at(2), PACE);
    assert_eq!((board.looks(), board.due(true, at(2), PACE)), (0, Some(at(6_000))));
    assert!(board.hear(snapshot(1, at(3)), at(3)));
    assert_eq!(board.looks(), 1);
    assert!(matches!(board.say(true, at(4), PACE), Said::Fresh(_)));
}

#[test]
fn what_does_not_exist_is_looked_for_once_in_a_ceiling_however_often_it_is_opened() {
    let (mut board, at) = board();
    board.begin(at(0));
    board.miss();
    for ms in (100..5_000).step_by(100) {
        board.open(at(ms), 0, PACE);
        assert_eq!(board.due(true, at(ms), PACE), Some(at(5_000)));
    }
    board.change(at(3_000), 0);
    assert_eq!(board.due(true, at(3_000), PACE), Some(at(3_250)), "now there is something to see");
    board.begin(at(3_250));
    board.miss();
    board.open(at(9_000), 0, PACE);
    assert_eq!(board.due(true, at(9_000), PACE), Some(at(9_000)));
}

#[test]
fn whoever_asks_waits_only_for_what_is_not_fresh() {
    let (mut board, at) = board();
    assert!(matches!(board.say(false, at(0), PACE), Said::Wait(0)));
    board.want(at(0));
    assert_eq!(board.due(false, at(0), PACE), Some(at(0)), "somebody waits");
    board.begin(at(0));
    board.show(snapshot(1, at(0)));
    assert_eq!(board.due(false, at(0), PACE), None);
    board.change(at(10), 0);
    assert!(matches!(board.say(false, at(999), PACE), Said::Fresh(_)), "not too often");
    assert!(matches!(board.say(false, at(1_000), PACE), Said::Wait(1)));
    assert!(matches!(board.say(true, at(1_000), PACE), Said::Fresh(_)), "it is refreshed for its members");
    board.begin(at(1_000));
    board.miss();
    assert!(matches!(board.say(false, at(1_500), PACE), Said::Missing));
    assert_eq!(board.due(true, at(9_000), PACE), None, "what does not exist is not looked for again and again");
}
