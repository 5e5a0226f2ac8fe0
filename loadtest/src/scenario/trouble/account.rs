//! Judges a diary by the troubles in which its entries lie.

use crate::checker::Arrival;
use crate::clock::{MICROSECOND, MILLISECOND};
use crate::fleet::diary::Entry;
use crate::fleet::placement::node;
use crate::fleet::tally::histogram;
use crate::report::Quantiles;
use crate::report::trouble::Trouble;

/// Nodes of the cluster.
pub(super) const NODES: u32 = 2;
/// A delivery between nodes that takes longer has waited for something.
const LATE: u64 = 100 * MILLISECOND;

/// A trouble, and when. What was due from `since` until the next one's counts for it.
#[derive(Clone, Debug)]
pub(super) struct Episode {
    /// What it is called.
    pub(super) name: String,
    /// Whether nothing may be lost.
    pub(super) must_keep_all: bool,
    /// In the calm before.
    pub(super) since: u64,
    /// When it began.
    pub(super) begun: u64,
    /// When Redis answered again.
    pub(super) over: u64,
    /// What the nodes say that they have given up, before and after.
    pub(super) given_up: [f64; 2],
}

/// What became of one publish.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    due: Option<u64>,
    crossed: bool,
}

/// A row for each episode; the last one ends with the diary.
pub(super) fn rows(episodes: &[Episode], entries: &[Entry], rooms: usize) -> Vec<Trouble> {
    let fates = fates(entries, rooms);
    let ends = episodes.iter().skip(1).map(|next| next.since).chain([u64::MAX]);
    let row = |(episode, end): (&Episode, u64)| {
        let is_in = |instant: u64| (episode.since..end).contains(&instant);
        let (mut published, mut lost) = (0, 0);
        for fate in fates.iter().flatten().filter(|fate| fate.due.is_some_and(is_in)) {
            published += 1;
            lost += u64::from(!fate.crossed);
        }
        let mut row = Trouble {
            name: episode.name.clone(),
            must_keep_all: episode.must_keep_all,
            away_us: (episode.over - episode.begun) / MICROSECOND,
            published,
            lost,
            given_up: (episode.given_up[1] - episode.given_up[0]).max(0.0) as u64,
            ..Trouble::default()
        };
        add_times(&mut row, episode, entries.iter().filter(|entry| is_in(entry.at)));
        row
    };
    episodes.iter().zip(ends).map(row).collect()
}

/// By room and sequence. A publisher hears itself, so what it has published is known by that.
fn fates(entries: &[Entry], rooms: usize) -> Vec<Vec<Fate>> {
    let mut fates = vec![Vec::new(); rooms];
    for entry in entries {
        let room = &mut fates[entry.room as usize];
        let at = entry.sequence as usize;
        if room.len() <= at {
            room.resize(at + 1, Fate::default());
        }
        let fate: &mut Fate = &mut room[at];
        if is_local(entry) {
            fate.due = Some(entry.due);
        } else {
            fate.crossed = true;
        }
    }
    fates
}

fn add_times<'a>(row: &mut Trouble, episode: &Episode, entries: impl Iterator<Item = &'a Entry>) {
    let mut local = [histogram(3), histogram(3)];
    let mut first = [None; NODES as usize];
    let (mut late_until, mut longest) = (episode.over, 0);
    for entry in entries {
        match entry.arrival {
            Arrival::Duplicate => row.duplicated += 1,
            Arrival::Late => row.out_of_order += 1,
            Arrival::InOrder | Arrival::Ahead => {}
        }
        let took = entry.at.saturating_sub(entry.due);
        if is_local(entry) {
            local[entry.node as usize].saturating_record(took / MICROSECOND);
            continue;
        }
        longest = longest.max(took);
        if took > LATE {
            late_until = late_until.max(entry.at);
        }
        if entry.at >= episode.over {
            first[entry.node as usize].get_or_insert(entry.at);
        }
    }
    let since_over = |at: u64| (at - episode.over) / MICROSECOND;
    row.local = local.map(|times| Quantiles::of(&times));
    row.back_us = first.map(|at| at.map(since_over));
    row.caught_up_us = since_over(late_until);
    row.longest_us = longest / MICROSECOND;
}

/// Whether a delivery came to the publisher's node.
pub(super) fn is_local(entry: &Entry) -> bool {
    entry.node == node(entry.room, 0, NODES)
}

/// Whether a delivery came for the first time.
pub(super) fn is_new(entry: &Entry) -> bool {
    entry.arrival != Arrival::Duplicate
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = MILLISECOND;

    /// Room 0's publisher is on node 0, room 1's on node 1.
    fn entry(room: u32, sequence: u32, node: u32, due: u64, at: u64) -> Entry {
        Entry { room, sequence, node, arrival: Arrival::InOrder, due: due * MS, at: at * MS }
    }

    fn episode(since: u64, begun: u64, over: u64, given_up: [f64; 2]) -> Episode {
        let (since, begun, over) = (since * MS, begun * MS, over * MS);
        Episode { name: "x".to_owned(), must_keep_all: true, since, begun, over, given_up }
    }

    #[test]
    fn each_trouble_answers_for_what_was_due_in_it() {
        let episodes = [episode(0, 100, 1_000, [0.0, 0.0]), episode(5_000, 6_000, 9_000, [0.0, 1.0])];
        let entries = [
            entry(0, 0, 0, 500, 501),
            entry(0, 0, 1, 500, 1_200),
            entry(1, 0, 1, 700, 703),
            entry(1, 0, 0, 700, 1_300),
            entry(1, 1, 1, 1_400, 1_401),
            entry(1, 1, 0, 1_400, 1_402),
            // given up between nodes
            entry(0, 1, 0, 6_500, 6_501),
            entry(0, 2, 0, 9_100, 9_101),
            entry(0, 2, 1, 9_100, 9_102),
        ];
        let rows = rows(&episodes, &entries, 2);
        assert_eq!((rows[0].published, rows[0].lost, rows[0].given_up), (3, 0, 0));
        assert_eq!((rows[1].published, rows[1].lost, rows[1].given_up), (2, 1, 1));
        assert_eq!(rows[0].back_us, [Some(300_000), Some(200_000)], "to node 0 and to node 1");
        assert_eq!((rows[0].caught_up_us, rows[0].longest_us), (300_000, 700_000));
        assert_eq!(rows[1].back_us, [None, Some(102_000)]);
        assert!((3_000..3_010).contains(&rows[0].local[1].max_us), "three digits are kept");
    }

    #[test]
    fn what_comes_twice_or_late_is_counted_where_it_came() {
        let twice = Entry { arrival: Arrival::Duplicate, ..entry(0, 0, 1, 10, 2_000) };
        let late = Entry { arrival: Arrival::Late, ..entry(0, 1, 1, 20, 6_000) };
        let episodes = [episode(0, 100, 1_000, [0.0; 2]), episode(5_000, 5_100, 5_200, [0.0; 2])];
        let rows = rows(&episodes, &[twice, late], 1);
        assert_eq!((rows[0].duplicated, rows[0].out_of_order), (1, 0));
        assert_eq!((rows[1].duplicated, rows[1].out_of_order), (0, 1));
    }
}
