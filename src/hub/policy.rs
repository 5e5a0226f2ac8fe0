//! What is allowed in which room: the rules of the settings, made ready for use.
//!
//! A room meets its policy once, when it comes into being on a worker; publishing to it compares no names.

use crate::config::{DeliverySettings, RateRule, RoomRule, RoomSettings, SlowConsumerPolicy, SlowConsumerRule, Who};
use crate::limiter::rate::Rate;
use crate::protocol::name::{DASHBOARD_ROOMS, INCIDENT_ROOMS, INCIDENTS_ROOM};
use crate::protocol::pattern::Pattern;
use crate::protocol::refusal::{Code, Refusal};

/// What somebody wants to do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Become a member.
    Join,
    /// Publish an event.
    Publish,
    /// Ask who is there.
    Presence,
    /// Ask what was said.
    History,
}

impl Right {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Join, Self::Publish, Self::Presence, Self::History];

    /// The word in tokens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Publish => "publish",
            Self::Presence => "presence",
            Self::History => "history",
        }
    }
}

/// A set of actions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// Adds one.
    #[must_use]
    pub const fn with(self, action: Right) -> Self {
        Self(self.0 | 1 << action as u8)
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn has(self, action: Right) -> bool {
        self.0 & (1 << action as u8) != 0
    }

    /// Those of both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a token allows in the rooms whose names match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Which rooms.
    pub pattern: Pattern,
    /// What in them.
    pub allow: Rights,
}

/// Which policy of the list; 0 to 2 are those of rooms that no rule is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PolicyId(u32);

/// What is allowed in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPolicy {
    /// The rule's pattern, if there is a rule.
    pub pattern: Option<Pattern>,
    /// Who may join.
    pub join: Who,
    /// Who may publish.
    pub publish: Who,
    /// Who may ask who is there.
    pub presence: Who,
    /// Who may ask what was said.
    pub history: Who,
    /// Whether members are told who comes and goes.
    pub presence_events: bool,
    /// Most members.
    pub max_members: Option<u32>,
    /// Largest event, in bytes of its name, its arguments and its attachments.
    pub max_payload: Option<usize>,
    /// Events that clients may publish to a room, on all workers together.
    pub room_rate: Option<Rate>,
    /// Events that one session may publish to the rooms of the rule.
    pub session_rate: Option<Rate>,
    /// What happens to sessions that read too slowly, unless it is as everywhere.
    slow_consumer: Option<SlowConsumerPolicy>,
}

impl RoomPolicy {
    fn free(open: bool) -> Self {
        let member = if open { Who::Anyone } else { Who::Member };
        Self {
            pattern: None,
            join: Who::Anyone,
            publish: member,
            presence: member,
            history: member,
            presence_events: false,
            max_members: None,
            max_payload: None,
            room_rate: None,
            session_rate: None,
            slow_consumer: None,
        }
    }

    fn reserved() -> Self {
        let token = Who::Token;
        Self { join: token, publish: token, presence: token, history: token, ..Self::free(false) }
    }

    /// Of the rooms of incidents, where people meet: it is good to know who is there.
    fn incident() -> Self {
        Self { presence_events: true, ..Self::reserved() }
    }

    fn ruled(self, rule: &RoomRule) -> Self {
        let rate = |rule: RateRule| Rate::per_second(rule.per_second, rule.burst);
        Self {
            pattern: Some(rule.pattern.clone()),
            join: rule.join.unwrap_or(self.join),
            publish: rule.publish.unwrap_or(self.publish),
            presence: rule.presence.unwrap_or(self.presence),
            history: rule.history.unwrap_or(self.history),
            presence_events: rule.presence_events.unwrap_or(self.presence_events),
            max_members: rule.max_members,
            max_payload: rule.max_payload,
            room_rate: rule.room_rate.map(rate),
            session_rate: rule.session_rate.map(rate),
            slow_consumer: rule.slow_consumer,
        }
    }

    /// Who may do this.
    #[must_use]
    pub fn who(&self, action: Right) -> Who {
        match action {
            Right::Join => self.join,
            Right::Publish => self.publish,
            Right::Presence => self.presence,
            Right::History => self.history,
        }
    }

    /// Whether a session may do this in `room`: a member or not, whose token allows it or not.
    ///
    /// # Errors
    /// When it may not.
    pub fn permits(&self, action: Right, room: &str, member: bool, granted: bool) -> Result<(), Refusal> {
        let allowed = match self.who(action) {
            Who::Anyone => true,
            Who::Member => member || granted,
            Who::Token => granted,
            Who::Server => false,
        };
        match self.who(action) {
            _ if allowed => Ok(()),
            Who::Member => Err(Refusal::new(Code::NotInRoom, format!("join {room} first"))),
            Who::Server => Err(forbidden(format!("{} is for services only in {room}", action.as_str()))),
            Who::Anyone | Who::Token => {
                Err(forbidden(format!("{} in {room} needs a token that allows it", action.as_str())))
            }
        }
    }

    /// Refuses events that are too large for the room.
    ///
    /// # Errors
    /// When this one is.
    pub fn check_size(&self, bytes: usize, room: &str) -> Result<(), Refusal> {
        match self.max_payload {
            Some(most) if bytes > most => Err(Refusal::new(
                Code::TooLarge,
                format!("an event in {room} has at most {most} bytes, this one {bytes}"),
            )),
            _ => Ok(()),
        }
    }
}

fn forbidden(detail: String) -> Refusal {
    Refusal::new(Code::RoomForbidden, detail)
}

/// Kinds of names that are treated differently without a rule.
const KINDS: usize = 3;

/// Every policy. First match wins.
#[derive(Debug, Clone)]
pub struct Policies {
    /// For free names, for those that are reserved, for those of incidents: without a rule, then for each rule.
    all: Vec<[RoomPolicy; KINDS]>,
    slow_consumer: SlowConsumerPolicy,
    slow_consumer_rooms: Vec<SlowConsumerRule>,
    open: bool,
}

impl Policies {
    /// Takes them from the settings. `open`: anybody may do everything in rooms that no rule is about.
    #[must_use]
    pub fn new(rooms: &RoomSettings, delivery: &DeliverySettings, open: bool) -> Self {
        let plain = [RoomPolicy::free(open), RoomPolicy::reserved(), RoomPolicy::incident()];
        let ruled = rooms.room_policies.iter().map(|rule| plain.clone().map(|policy| policy.ruled(rule)));
        Self {
            all: std::iter::once(plain.clone()).chain(ruled).collect(),
            slow_consumer: delivery.slow_consumer,
            slow_consumer_rooms: delivery.slow_consumer_rooms.clone(),
            open,
        }
    }

    /// The policy that `room` meets.
    #[must_use]
    pub fn of(&self, room: &str) -> PolicyId {
        let matches = |policy: &RoomPolicy| policy.pattern.as_ref().is_some_and(|pattern| pattern.matches(room));
        let ruled = (1..).zip(&self.all[1..]).find(|(_, [policy, ..])| matches(policy));
        let kind = match () {
            () if room.starts_with(INCIDENT_ROOMS) => 2,
            () if room.contains(':') || room == INCIDENTS_ROOM && !self.open => 1,
            () => 0,
        };
        PolicyId(ruled.map_or(0, |(place, _)| place) * KINDS as u32 + kind)
    }

    /// A policy.
    #[must_use]
    pub fn get(&self, id: PolicyId) -> &RoomPolicy {
        &self.all[id.0 as usize / KINDS][id.0 as usize % KINDS]
    }

    /// What happens to sessions that read `room` too slowly: what its rule says, or the short form, or what holds everywhere. Of a
    /// dashboard nobody misses but the latest snapshot.
    #[must_use]
    pub fn slow_consumer(&self, id: PolicyId, room: &str) -> SlowConsumerPolicy {
        let short = || self.slow_consumer_rooms.iter().find(|rule| rule.pattern.matches(room)).map(|rule| rule.policy);
        let dashboard = || room.starts_with(DASHBOARD_ROOMS).then_some(SlowConsumerPolicy::Latest);
        self.get(id).slow_consumer.or_else(short).or_else(dashboard).unwrap_or(self.slow_consumer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        settings: Settings,
    }

    fn policies(flags: &[&str], open: bool) -> Policies {
        let settings = Arguments::parse_from([&["test"], flags].concat()).settings;
        Policies::new(&settings.rooms, &settings.delivery, open)
    }

    fn may(policies: &Policies, room: &str, action: Right, member: bool, granted: bool) -> bool {
        policies.get(policies.of(room)).permits(action, room, member, granted).is_ok()
    }

    #[test]
    fn without_rules_free_names_are_for_members_and_names_with_a_colon_for_tokens() {
        let closed = policies(&[], false);
        for (action, stranger, member, granted) in [
            (Right::Join, true, true, true),
            (Right::Publish, false, true, true),
            (Right::Presence, false, true, true),
            (Right::History, false, true, true),
        ] {
            let asked = [(false, false), (true, false), (false, true)];
            let free = asked.map(|(is_member, granted)| may(&closed, "r", action, is_member, granted));
            assert_eq!(free, [stranger, member, granted], "{action:?}");
            for room in ["a:b", INCIDENTS_ROOM] {
                let reserved = asked.map(|(is_member, granted)| may(&closed, room, action, is_member, granted));
                assert_eq!(reserved, [false, false, true], "{action:?} in {room}");
            }
        }
        let open = policies(&[], true);
        for room in ["r", INCIDENTS_ROOM] {
            assert!(Right::ALL.into_iter().all(|action| may(&open, room, action, false, false)), "{room}");
        }
        assert!(!Right::ALL.into_iter().any(|action| may(&open, "a:b", action, true, false)));
    }

    #[test]
    fn rooms_of_incidents_tell_who_comes_and_goes_unless_a_rule_says_no() {
        let tells = |flags: &[&str], room: &str| {
            let policies = policies(flags, false);
            policies.get(policies.of(room)).presence_events
        };
        assert!(tells(&[], "incident:7") && !tells(&[], "service:api") && !tells(&[], "incidents") && !tells(&[], "r"));
        assert!(tells(&["--room-policy", "incident:* max-members=9"], "incident:7"));
        assert!(!tells(&["--room-policy", "incident:* presence-events=off"], "incident:7"));
    }

    #[test]
    fn the_first_rule_that_matches_wins_and_the_rest_is_as_without_it() {
        let rules = ["--room-policy", "a:* publish=server max-members=2,*:b join=anyone,* presence=off"];
        let policies = policies(&rules, false);
        assert!(!may(&policies, "a:b", Right::Publish, true, true));
        assert!(may(&policies, "a:b", Right::Join, false, true) && !may(&policies, "a:b", Right::Join, false, false));
        assert_eq!(policies.get(policies.of("a:b")).max_members, Some(2));
        assert!(may(&policies, "x:b", Right::Join, false, false));
        assert!(!may(&policies, "x:b", Right::Publish, true, false));
        assert!(!may(&policies, "r", Right::Presence, true, true) && may(&policies, "r", Right::Publish, true, false));
    }

    #[test]
    fn the_last_of_very_many_rules_holds_too() {
        let rules: Vec<String> =
            (0..40_000).map(|n| format!("never-{n} join=server")).chain(["last presence=off".to_owned()]).collect();
        let policies = policies(&["--room-policy", &rules.join(",")], true);
        assert!(
            may(&policies, "last", Right::Join, false, false) && !may(&policies, "last", Right::Presence, true, true)
        );
        assert!(!may(&policies, "never-39999", Right::Join, true, true));
    }

    #[test]
    fn refusals_say_what_is_missing() {
        let policies = policies(&["--room-policy", "s publish=server max-payload=8"], false);
        let code =
            |room: &str, action| policies.get(policies.of(room)).permits(action, room, false, false).unwrap_err().code;
        assert_eq!(code("r", Right::Publish), Code::NotInRoom);
        assert_eq!(code("a:b", Right::Join), Code::RoomForbidden);
        assert_eq!(code("s", Right::Publish), Code::RoomForbidden);
        let refused = policies.get(policies.of("a:b")).permits(Right::Join, "a:b", false, false).unwrap_err();
        assert_eq!(refused.detail, "join in a:b needs a token that allows it", "whether it came with one or without");
        let small = policies.get(policies.of("s"));
        assert_eq!(small.check_size(8, "s"), Ok(()));
        assert_eq!(small.check_size(9, "s").unwrap_err().code, Code::TooLarge);
    }

    #[test]
    fn slow_consumers_are_treated_as_the_rule_says_or_the_short_form() {
        let flags = [
            "--slow-consumer=drop-oldest",
            "--slow-consumer-room=cursor-*=latest",
            "--room-policy=cursor-7 slow-consumer=disconnect,cursor-8 max-members=1",
        ];
        let policies = policies(&flags, false);
        let of = |room: &str| policies.slow_consumer(policies.of(room), room);
        assert_eq!(of("cursor-7"), SlowConsumerPolicy::Disconnect);
        assert_eq!((of("cursor-8"), of("cursor-9")), (SlowConsumerPolicy::Latest, SlowConsumerPolicy::Latest));
        assert_eq!(of("r"), SlowConsumerPolicy::DropOldest);
        assert_eq!(of("dashboard:global"), SlowConsumerPolicy::Latest);
    }
}
