//! Where sessions live that came back: their ids say where they lived first.

use crate::hub::address::{Address, Sid};
use dashmap::DashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Ids that lead elsewhere. Only sessions that came back have one for their sid and one for their pid.
#[derive(Debug, Default)]
pub(in crate::hub) struct Aliases {
    places: DashMap<Sid, Address>,
    /// How many there are: nearly always none, and then nobody looks.
    count: AtomicUsize,
}

impl Aliases {
    pub(in crate::hub) fn get(&self, sid: Sid) -> Option<Address> {
        if self.count.load(Relaxed) == 0 {
            return None;
        }
        self.places.get(&sid).map(|address| *address)
    }

    pub(super) fn set(&self, sid: Sid, address: Address) {
        if self.places.insert(sid, address).is_none() {
            self.count.fetch_add(1, Relaxed);
        }
    }

    /// Forgets an id, unless it leads to another worker by now.
    pub(super) fn remove(&self, sid: Sid, worker: u8) {
        if self.places.remove_if(&sid, |_, address| address.worker == worker).is_some() {
            self.count.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_forgotten_by_the_worker_that_it_leads_to_and_by_no_other() {
        let (aliases, at) = (Aliases::default(), |worker| Address { worker, place: 7 });
        let sid = Sid::new([0; 3], at(0));
        assert_eq!(aliases.get(sid), None);
        aliases.set(sid, at(1));
        aliases.set(sid, at(2));
        aliases.remove(sid, 1);
        assert_eq!(aliases.get(sid), Some(at(2)));
        aliases.remove(sid, 2);
        aliases.remove(sid, 2);
        assert_eq!((aliases.get(sid), aliases.count.load(Relaxed)), (None, 0));
    }
}
