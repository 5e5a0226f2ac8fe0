//! Broadcasts to more or less than one room: several rooms, rooms with exceptions, a whole namespace; and who that is.
//!
//! They are rarer than plain ones and are served at once, after whatever is still on its way to the large rooms among
//! them, so that the order in each room is kept.

use super::NamespaceId;
use super::address::Sid;
use super::broadcast::{Cast, Encoded};
use super::fanout_error::FanoutError;
use super::local::Local;
use super::member::MemberId;
use super::outbox::{Frame, OutboxId};
use super::room::{Place, Room, RoomId};
use crate::metrics::Drop;
use crate::protocol::Wire;
use std::rc::Rc;

type Frames = [Option<Rc<Frame>>; Wire::COUNT];

impl Local {
    /// Each session in any of the rooms once.
    pub(super) fn deliver_to_union<S: AsRef<str>>(
        &mut self,
        cast: &Cast<'_, S>,
        encoded: &mut Encoded<'_, S>,
    ) -> Result<(), FanoutError> {
        let ids: Vec<RoomId> = cast.rooms.iter().filter_map(|name| self.room(cast.namespace, name.as_ref())).collect();
        self.catch_up(&ids)?;
        self.log_said(encoded.shared);
        let stamp = self.stamp_out(cast.namespace, cast.except, cast.exclude);
        let mut delivered = 0;
        for id in ids {
            let (policy, serial) = (self.rooms[id.0 as usize].policy, self.rooms[id.0 as usize].serial);
            let mut frames = Frames::default();
            let frame = |bytes| Frame::of_room(bytes, 1, serial, policy);
            for i in 0..self.rooms[id.0 as usize].places.len() {
                let place = self.rooms[id.0 as usize].places[i];
                delivered += self.deliver_once(place, stamp, cast, encoded, (&mut frames, &frame))?;
            }
        }
        let mut frames = Frames::default();
        for name in cast.rooms {
            if let Some(place) = self.session_named(cast.namespace, name.as_ref()) {
                delivered += self.deliver_once(place, stamp, cast, encoded, (&mut frames, &Frame::of_namespace))?;
            }
        }
        self.stats.deliveries.add(delivered);
        Ok(())
    }

    /// Everybody in the namespace.
    pub(super) fn deliver_to_namespace<S: AsRef<str>>(
        &mut self,
        cast: &Cast<'_, S>,
        encoded: &mut Encoded<'_, S>,
    ) -> Result<(), FanoutError> {
        let rooms = &self.rooms;
        let busy: Vec<_> =
            self.jobs.iter().filter(|id| rooms[id.0 as usize].namespace == cast.namespace).copied().collect();
        self.catch_up(&busy)?;
        self.log_said(encoded.shared);
        let stamp = self.stamp_out(cast.namespace, cast.except, cast.exclude);
        let (mut frames, mut delivered, mut key) = (Frames::default(), 0, 0);
        while key < self.members.capacity() {
            let member = self.members.get(key).filter(|member| member.namespace == cast.namespace);
            let place = member.map(|member| Place { outbox: member.outbox, member: MemberId(super::local::key(key)) });
            if let Some(place) = place {
                delivered += self.deliver_once(place, stamp, cast, encoded, (&mut frames, &Frame::of_namespace))?;
            }
            key += 1;
        }
        self.stats.deliveries.add(delivered);
        Ok(())
    }

    /// Delivers to a session that does not carry the stamp yet. Returns to how many that was.
    fn deliver_once<S: AsRef<str>>(
        &mut self,
        place: Place,
        stamp: u32,
        cast: &Cast<'_, S>,
        encoded: &mut Encoded<'_, S>,
        (frames, make): (&mut Frames, &dyn Fn(bytes::Bytes) -> Rc<Frame>),
    ) -> Result<u64, FanoutError> {
        let Some(outbox) = self.outboxes.get_mut(place.outbox.0 as usize) else { return Ok(0) };
        if std::mem::replace(&mut outbox.stamp, stamp) == stamp {
            return Ok(0);
        }
        let wire = outbox.wire;
        if cast.volatile && outbox.is_blocked() {
            self.stats.dropped(Drop::Volatile, 1);
            return Ok(0);
        }
        let slot = &mut frames[wire.index()];
        let frame = match slot {
            Some(frame) => frame,
            None => slot.insert(make(encoded.frame(wire)?.clone())),
        };
        let delivered = self.push(place.outbox, frame);
        if delivered && cast.event.ack.is_some() {
            self.asked.extend(self.members.get(place.member.0 as usize).map(|member| member.sid));
        }
        Ok(u64::from(delivered))
    }

    /// Hands out what is still on its way to large rooms, unless that is too much.
    pub(super) fn catch_up(&mut self, ids: &[RoomId]) -> Result<(), FanoutError> {
        let bounds = self.limits.outbox;
        let busy = |room: &Room| room.backlog.as_ref().is_some_and(|backlog| backlog.exceeds(bounds));
        if ids.iter().any(|id| busy(&self.rooms[id.0 as usize])) {
            return Err(FanoutError::Full);
        }
        for id in ids {
            while self.rooms[id.0 as usize].backlog.is_some() {
                self.serve_large_room(*id, usize::MAX);
            }
        }
        Ok(())
    }

    /// Gives a fresh stamp to all who are left out, and returns it.
    fn stamp_out<S: AsRef<str>>(&mut self, namespace: NamespaceId, except: &[S], exclude: Option<OutboxId>) -> u32 {
        let stamp = self.next_stamp();
        for name in except {
            if let Some(id) = self.room(namespace, name.as_ref()) {
                for place in &self.rooms[id.0 as usize].places {
                    self.outboxes[place.outbox.0 as usize].stamp = stamp;
                }
            }
            if let Some(place) = self.session_named(namespace, name.as_ref()) {
                self.outboxes[place.outbox.0 as usize].stamp = stamp;
            }
        }
        if let Some(outbox) = exclude.and_then(|id| self.outboxes.get_mut(id.0 as usize)) {
            outbox.stamp = stamp;
        }
        stamp
    }

    /// A number that no outbox carries. When the numbers come round, all outboxes are wiped first.
    fn next_stamp(&mut self) -> u32 {
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            for (_, outbox) in &mut self.outboxes {
                outbox.stamp = 0;
            }
            self.stamp = 1;
        }
        self.stamp
    }

    /// The session here whose id is `name`: a room that it alone is in.
    pub(super) fn session_named(&self, namespace: NamespaceId, name: &str) -> Option<Place> {
        if name.len() != Sid::LEN {
            return None;
        }
        let (member, outbox) = self.find(Sid::parse(name)?)?;
        (self.namespace_of(member) == namespace).then_some(Place { outbox, member })
    }

    /// Whether `name` has the form of a session id of this node: clients may not call a room so.
    #[must_use]
    pub fn is_session_name(&self, name: &str) -> bool {
        self.shared.home_of(name).is_some()
    }

    /// The sessions here that are in any of the rooms, or in the namespace when there are none, and in none of `except`.
    pub(super) fn select(&mut self, namespace: NamespaceId, rooms: &[Box<str>], except: &[Box<str>]) -> Vec<MemberId> {
        let stamp = self.stamp_out(namespace, except, None);
        let mut places: Vec<Place> = Vec::new();
        for name in rooms {
            places.extend(self.session_named(namespace, name));
            places.extend(self.room(namespace, name).iter().flat_map(|id| &self.rooms[id.0 as usize].places));
        }
        if rooms.is_empty() {
            let all = self.members.iter().filter(|(_, member)| member.namespace == namespace);
            places.extend(
                all.map(|(key, member)| Place { outbox: member.outbox, member: MemberId(super::local::key(key)) }),
            );
        }
        let outboxes = &mut self.outboxes;
        let mut is_fresh = |place: &Place| {
            let outbox = outboxes.get_mut(place.outbox.0 as usize);
            outbox.is_some_and(|outbox| std::mem::replace(&mut outbox.stamp, stamp) != stamp)
        };
        places.into_iter().filter(|place| is_fresh(place)).map(|place| place.member).collect()
    }
}
