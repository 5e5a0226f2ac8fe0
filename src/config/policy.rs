//! Room policies: one-line rules about who may do what in the rooms whose names match a pattern.

use super::{SlowConsumerPolicy, parse_bytes, parse_duration, show_bytes, show_duration};
use crate::protocol::pattern::Pattern;
use std::str::FromStr;
use std::time::Duration;

/// Who may do something in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// Every session.
    Anyone,
    /// Members of the room, and whoever's token allows it.
    Member,
    /// Whoever's token allows it.
    Token,
    /// Services only.
    Server,
}

impl Who {
    /// The word in a rule.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Member => "member",
            Self::Token => "token",
            Self::Server => "server",
        }
    }
}

/// Events a second: a rate and what may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateRule {
    /// Events per second.
    pub per_second: u32,
    /// Events at once.
    pub burst: u32,
}

impl FromStr for RateRule {
    type Err = String;

    /// `20`, or `20:60` with a burst; without one it is twice the rate.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
        let (rate, burst) = text.split_once(':').map_or((text, None), |(rate, burst)| (rate, Some(burst)));
        let parsed = number(rate).and_then(|per_second| {
            let burst = burst.map_or(Some(per_second.saturating_mul(2)), number)?;
            Some(Self { per_second, burst })
        });
        parsed.ok_or_else(|| format!("{text:?} is no rate; write 20 for 20 a second, or 20:60 for 60 of them at once"))
    }
}

/// A rule: a pattern of room names, and what it says of those rooms. What it does not say is as it is without the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRule {
    /// Which rooms.
    pub pattern: Pattern,
    /// Who may join.
    pub join: Option<Who>,
    /// Who may publish.
    pub publish: Option<Who>,
    /// Who may ask who is there.
    pub presence: Option<Who>,
    /// Whether members are told who comes and goes.
    pub presence_events: Option<bool>,
    /// Who may ask what was said.
    pub history: Option<Who>,
    /// Most members.
    pub max_members: Option<u32>,
    /// Largest event, in bytes.
    pub max_payload: Option<usize>,
    /// Events that clients may publish to a room.
    pub room_rate: Option<RateRule>,
    /// Events that one session may publish to these rooms.
    pub session_rate: Option<RateRule>,
    /// What happens to a session that reads too slowly.
    pub slow_consumer: Option<SlowConsumerPolicy>,
    /// Events that history keeps.
    pub history_size: Option<u32>,
    /// How long history keeps them.
    pub history_age: Option<Duration>,
}

impl RoomRule {
    fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            join: None,
            publish: None,
            presence: None,
            presence_events: None,
            history: None,
            max_members: None,
            max_payload: None,
            room_rate: None,
            session_rate: None,
            slow_consumer: None,
            history_size: None,
            history_age: None,
        }
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "join" => put(&mut self.join, who(value, &[Who::Anyone, Who::Token, Who::Server])?),
            "publish" => put(&mut self.publish, who(value, &ALL)?),
            "presence" => put(&mut self.presence, presence(value)?),
            "presence-events" => put(&mut self.presence_events, switch(value)?),
            "history" => put(&mut self.history, who(value, &ALL)?),
            "max-members" => put(&mut self.max_members, count(value)?),
            "max-payload" => put(&mut self.max_payload, size(value)?),
            "room-rate" => put(&mut self.room_rate, value.parse()?),
            "session-rate" => put(&mut self.session_rate, value.parse()?),
            "slow-consumer" => put(&mut self.slow_consumer, super::limits::slow_consumer(value)?),
            "history-size" => put(&mut self.history_size, count(value)?),
            "history-age" => put(&mut self.history_age, parse_duration(value)?),
            _ => Err(format!("there are {}", KEYS.join(", "))),
        }
    }
}

const ALL: [Who; 4] = [Who::Anyone, Who::Member, Who::Token, Who::Server];

const KEYS: [&str; 12] = [
    "join",
    "publish",
    "presence",
    "presence-events",
    "history",
    "max-members",
    "max-payload",
    "room-rate",
    "session-rate",
    "slow-consumer",
    "history-size",
    "history-age",
];

fn put<T>(slot: &mut Option<T>, value: T) -> Result<(), String> {
    if slot.replace(value).is_some() {
        return Err("it is there twice".into());
    }
    Ok(())
}

fn who(text: &str, allowed: &[Who]) -> Result<Who, String> {
    let words = || allowed.iter().map(|who| who.as_str()).collect::<Vec<_>>().join(", ");
    allowed.iter().find(|who| who.as_str() == text).copied().ok_or_else(|| format!("there are {}", words()))
}

/// `on` is what it is without a rule, `off` is for services only.
fn presence(text: &str) -> Result<Who, String> {
    match text {
        "on" => Ok(Who::Member),
        "off" => Ok(Who::Server),
        _ => who(text, &ALL).map_err(|words| format!("{words}, on, off")),
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("there are on, off".into()),
    }
}

fn count(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is no number from 1 on"))
}

fn size(text: &str) -> Result<usize, String> {
    parse_bytes(text).and_then(|bytes| if bytes > 0 { Ok(bytes) } else { Err("it has to be at least 1".into()) })
}

impl FromStr for RoomRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let pattern = words.next().filter(|word| !word.contains('='));
        let pattern = pattern.ok_or("write PATTERN KEY=VALUE …, for example: incident:* join=token publish=server")?;
        let mut rule = Self::new(pattern.parse()?);
        let mut said = false;
        for word in words {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("{word:?} is not KEY=VALUE"))?;
            rule.take(key, value).map_err(|problem| format!("{word:?}: {problem}"))?;
            said = true;
        }
        if said { Ok(rule) } else { Err(format!("the rule for {pattern} says nothing")) }
    }
}

impl std::fmt::Display for RoomRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.pattern.as_str())?;
        let rate = |rate: RateRule| format!("{}:{}", rate.per_second, rate.burst);
        let who = |who: Who| who.as_str().to_owned();
        let said = [
            self.join.map(who),
            self.publish.map(who),
            self.presence.map(who),
            self.presence_events.map(|on| if on { "on" } else { "off" }.to_owned()),
            self.history.map(who),
            self.max_members.map(|count| count.to_string()),
            self.max_payload.map(show_bytes),
            self.room_rate.map(rate),
            self.session_rate.map(rate),
            self.slow_consumer.map(|policy| policy.as_str().to_owned()),
            self.history_size.map(|count| count.to_string()),
            self.history_age.map(show_duration),
        ];
        for (key, value) in KEYS.iter().zip(said) {
            if let Some(value) = value {
                write!(f, " {key}={value}")?;
            }
        }
        Ok(())
    }
}

/// Who may do what, and how much of it, by room.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Rooms")]
pub struct RoomSettings {
    /// Rules about rooms, first match wins: PATTERN KEY=VALUE …, where `*` in the pattern stands for anything (`incident:* join=token publish=server`)
    #[arg(
        long = "room-policy",
        env = "ROOMCAST_ROOM_POLICIES",
        value_name = "RULE",
        value_delimiter = ',',
        value_parser = clap::value_parser!(RoomRule)
    )]
    pub room_policies: Vec<RoomRule>,
}

impl RoomSettings {
    /// What is wrong with the rules together, one sentence each.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.room_policies.len() > RULES_MAX {
            problems.push(format!(
                "there are {} room policies; at most {RULES_MAX} are looked through",
                self.room_policies.len()
            ));
        }
        for (index, rule) in self.room_policies.iter().enumerate() {
            let earlier = &self.room_policies[..index];
            if let Some(hides) = earlier.iter().find(|earlier| earlier.pattern.matches(rule.pattern.as_str())) {
                problems.push(format!(
                    "room-policy {}: never used, as {} comes before it and matches the same rooms",
                    rule.pattern, hides.pattern
                ));
            }
        }
        problems
    }
}

/// Most rules, as a new room is compared with each.
const RULES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_one_line() {
        let text = "incident:* join=token publish=server presence=server presence-events=on history=token \
                    max-members=1000 max-payload=4KiB room-rate=100:200 session-rate=5:10 slow-consumer=latest history-size=50 history-age=5m";
        let rule: RoomRule = text.parse().unwrap();
        assert_eq!((rule.join, rule.publish, rule.max_payload), (Some(Who::Token), Some(Who::Server), Some(4_096)));
        assert_eq!(rule.room_rate, Some(RateRule { per_second: 100, burst: 200 }));
        assert_eq!(rule.to_string(), text.split_whitespace().collect::<Vec<_>>().join(" "));
        let short: RoomRule = "*  presence=off session-rate=3".parse().unwrap();
        assert_eq!(short.to_string(), "* presence=server session-rate=3:6");
    }

    #[test]
    fn every_fault_of_a_rule_is_said() {
        for (text, expected) in [
            ("", "PATTERN KEY=VALUE"),
            ("join=token", "PATTERN KEY=VALUE"),
            ("a*", "says nothing"),
            ("a* join", "not KEY=VALUE"),
            ("a* join=member", "anyone, token, server"),
            ("a* publish=everybody", "anyone, member, token, server"),
            ("a* presence=no", "on, off"),
            ("a* presence-events=token", "on, off"),
            ("a* joins=token", "there are join, publish"),
            ("a* join=token join=server", "twice"),
            ("a* max-members=0", "from 1 on"),
            ("a* max-payload=0", "at least 1"),
            ("a* room-rate=0", "no rate"),
            ("a* session-rate=5:", "no rate"),
            ("a* slow-consumer=never", "drop-oldest"),
            ("a* history-age=5", "no duration"),
        ] {
            let problem = text.parse::<RoomRule>().unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn a_rule_that_can_never_match_is_found() {
        let check = |rules: &[&str]| {
            RoomSettings { room_policies: rules.iter().map(|rule| rule.parse().unwrap()).collect() }.check()
        };
        assert_eq!(check(&["a:b publish=token", "a:* publish=server", "* max-members=5"]), Vec::<String>::new());
        let problems = check(&["a:* publish=server", "a:b publish=token"]);
        assert!(problems.len() == 1 && problems[0].contains("a:b: never used"), "{problems:?}");
    }
}
