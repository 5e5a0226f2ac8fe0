//! The arithmetic of Kubernetes' HorizontalPodAutoscaler (autoscaling/v2) for one metric of pods with an average value.
//!
//! From <https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/> ("Algorithm details", "Configurable
//! scaling behavior"): desired = ceil(current × average / target), no change within the tolerance; then the highest recommendation
//! of the window for scaling down and the lowest of that for scaling up; then no more change per period than the policies allow; then
//! the bounds. Pods that are not ready, or do not say, count in the direction that changes less.
//!
//! Pure: time is an argument, in seconds.

use std::collections::VecDeque;

/// What a policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Replicas.
    Pods,
    /// Percent of the replicas at the period's beginning.
    Percent,
}

/// How much may change in a period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policy {
    /// What `value` counts.
    pub(crate) unit: Unit,
    /// How much.
    pub(crate) value: u32,
    /// In so many seconds.
    pub(crate) period: f64,
}

/// Which of several policies holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Select {
    /// That which allows the largest change.
    Max,
    /// That which allows the smallest.
    Min,
    /// None: there is no change in this direction.
    Disabled,
}

/// How one direction behaves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Direction {
    /// Seconds for which recommendations are remembered.
    pub(crate) window: f64,
    /// Which policy holds.
    pub(crate) select: Select,
    /// The policies.
    pub(crate) policies: Vec<Policy>,
    /// How far from the target the average may be without a change.
    pub(crate) tolerance: f64,
}

/// What an autoscaler is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    /// Fewest replicas.
    pub(crate) min: u32,
    /// Most replicas.
    pub(crate) max: u32,
    /// What the metric should be on average.
    pub(crate) target: f64,
    /// How it adds.
    pub(crate) up: Direction,
    /// How it removes.
    pub(crate) down: Direction,
}

/// What the pods say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pods<'a> {
    /// The metric of each that is ready and says it.
    pub(crate) ready: &'a [f64],
    /// Those that are not ready yet.
    pub(crate) unready: usize,
    /// Those that are ready and do not say.
    pub(crate) missing: usize,
}

/// An autoscaler and what it remembers.
#[derive(Debug)]
pub(crate) struct Autoscaler {
    rules: Rules,
    recommendations: VecDeque<(f64, u32)>,
    /// Changes: when, and how many replicas more or fewer.
    changes: VecDeque<(f64, i64)>,
}

impl Default for Direction {
    /// What holds for scaling up without a word.
    fn default() -> Self {
        let policy = |unit, value| Policy { unit, value, period: 15.0 };
        let policies = vec![policy(Unit::Percent, 100), policy(Unit::Pods, 4)];
        Self { window: 0.0, select: Select::Max, policies, tolerance: 0.1 }
    }
}

impl Direction {
    /// What holds for scaling down without a word.
    pub(crate) fn default_down() -> Self {
        let policies = vec![Policy { unit: Unit::Percent, value: 100, period: 15.0 }];
        Self { window: 300.0, select: Select::Max, policies, tolerance: 0.1 }
    }
}

impl Rules {
    /// All times a `scale`th as long.
    pub(crate) fn faster(mut self, scale: f64) -> Self {
        for direction in [&mut self.up, &mut self.down] {
            direction.window /= scale;
            direction.policies.iter_mut().for_each(|policy| policy.period /= scale);
        }
        self
    }

    /// What the metric alone asks for.
    pub(crate) fn wish(&self, current: u32, pods: Pods<'_>) -> u32 {
        if pods.ready.is_empty() {
            return current;
        }
        let sum: f64 = pods.ready.iter().sum();
        let ratio = sum / pods.ready.len() as f64 / self.target;
        let waits = pods.unready > 0 && ratio > 1.0;
        if !waits && pods.missing == 0 {
            return if self.tolerates(ratio) { current } else { ceil(ratio * pods.ready.len() as f64) };
        }
        // who does not say would change nothing, or less: all of the target on the way down, nothing on the way up
        let missing = pods.missing as f64;
        let sum = if ratio < 1.0 { sum + missing * self.target } else { sum };
        let count = (pods.ready.len() + pods.missing) as f64 + if waits { pods.unready as f64 } else { 0.0 };
        let again = sum / count / self.target;
        if self.tolerates(again) || (ratio < 1.0 && again > 1.0) || (ratio > 1.0 && again < 1.0) {
            return current;
        }
        let wish = ceil(again * count);
        if (again < 1.0 && wish > current) || (again > 1.0 && wish < current) { current } else { wish }
    }

    fn tolerates(&self, ratio: f64) -> bool {
        (1.0 - self.down.tolerance..=1.0 + self.up.tolerance).contains(&ratio)
    }
}

impl Autoscaler {
    /// An autoscaler that remembers nothing yet.
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, recommendations: VecDeque::new(), changes: VecDeque::new() }
    }

    /// How many replicas there should be at `now`, with `current` asked for.
    pub(crate) fn decide(&mut self, now: f64, current: u32, pods: Pods<'_>) -> u32 {
        let wish = self.rules.wish(current, pods);
        let steady = self.stabilize(now, current, wish);
        let allowed = self.limit(now, current, steady);
        let decided = allowed.clamp(self.rules.min, self.rules.max);
        if decided != current {
            self.changes.push_back((now, i64::from(decided) - i64::from(current)));
        }
        decided
    }

    fn stabilize(&mut self, now: f64, current: u32, wish: u32) -> u32 {
        let longest = self.rules.up.window.max(self.rules.down.window);
        self.recommendations.retain(|(at, _)| now - at < longest);
        let within =
            |window: f64| self.recommendations.iter().filter(move |(at, _)| now - at < window).map(|(_, n)| *n);
        let lowest = within(self.rules.up.window).chain([wish]).min().unwrap_or(wish);
        let highest = within(self.rules.down.window).chain([wish]).max().unwrap_or(wish);
        self.recommendations.push_back((now, wish));
        current.max(lowest).min(highest)
    }

    fn limit(&mut self, now: f64, current: u32, wish: u32) -> u32 {
        let longest = [&self.rules.up, &self.rules.down].into_iter().flat_map(|direction| &direction.policies);
        let longest = longest.map(|policy| policy.period).fold(0.0, f64::max);
        self.changes.retain(|(at, _)| now - at < longest);
        let proposals = |direction: &Direction, sign: f64| -> Vec<u32> {
            let of = |policy: &Policy| {
                let since =
                    self.changes.iter().filter(|(at, _)| now - at < policy.period).map(|(_, by)| by).sum::<i64>();
                let began_with = (i64::from(current) - since) as f64;
                match policy.unit {
                    Unit::Pods => whole(began_with + sign * f64::from(policy.value)),
                    Unit::Percent if sign > 0.0 => ceil(began_with * (1.0 + f64::from(policy.value) / 100.0)),
                    Unit::Percent => whole(began_with * (1.0 - f64::from(policy.value) / 100.0)),
                }
            };
            direction.policies.iter().map(of).collect()
        };
        if wish > current {
            let all = proposals(&self.rules.up, 1.0).into_iter();
            let most = match self.rules.up.select {
                Select::Max => all.max(),
                Select::Min => all.min(),
                Select::Disabled => None,
            };
            wish.min(most.unwrap_or(current).max(current))
        } else if wish < current {
            let all = proposals(&self.rules.down, -1.0).into_iter();
            let fewest = match self.rules.down.select {
                Select::Max => all.min(),
                Select::Min => all.max(),
                Select::Disabled => None,
            };
            wish.max(fewest.unwrap_or(current).min(current))
        } else {
            wish
        }
    }
}

/// Sums of metrics are off by so little: what is above or below a whole number by less is that number.
const ROUNDING: f64 = 1e-6;

fn ceil(replicas: f64) -> u32 {
    (replicas - ROUNDING).ceil().max(0.0) as u32
}

fn whole(replicas: f64) -> u32 {
    (replicas + ROUNDING).max(0.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(min: u32, max: u32, target: f64) -> Rules {
        Rules { min, max, target, up: Direction::default(), down: Direction::default_down() }
    }

    fn ready(values: &[f64]) -> Pods<'_> {
        Pods { ready: values, ..Pods::default() }
    }

    #[test]
    fn twice_the_target_doubles_and_half_of_it_halves() {
        // "if the current metric value is 200m, and the desired value is 100m, the number of replicas will be doubled […]. If the
        // current value is instead 50m, you'll halve the number of replicas"
        assert_eq!(rules(1, 100, 0.1).wish(3, ready(&[0.2; 3])), 6);
        assert_eq!(rules(1, 100, 0.1).wish(4, ready(&[0.05; 4])), 2);
        // ceil
        assert_eq!(rules(1, 100, 700.0).wish(2, ready(&[800.0, 900.0])), 3);
    }

    #[test]
    fn nothing_changes_within_a_tenth() {
        let rules = rules(1, 100, 100.0);
        for (average, wish) in [(109.0, 10), (110.0, 10), (111.0, 12), (91.0, 10), (90.0, 10), (89.0, 9)] {
            assert_eq!(rules.wish(10, ready(&[average; 10])), wish, "{average}");
        }
        let keen = Rules { up: Direction { tolerance: 0.0, ..Direction::default() }, ..rules };
        assert_eq!(keen.wish(10, ready(&[101.0; 10])), 11, "each direction has its own");
        assert_eq!(keen.wish(10, ready(&[91.0; 10])), 10);
    }

    #[test]
    fn who_does_not_say_counts_for_no_change() {
        let rules = rules(1, 100, 100.0);
        // three of 150 and one that is not ready yet: 450 / 4 = 112
        assert_eq!(rules.wish(4, Pods { ready: &[150.0; 3], unready: 1, missing: 0 }), 5);
        assert_eq!(rules.wish(4, Pods { ready: &[120.0; 3], unready: 1, missing: 0 }), 4, "it would turn round");
        // two of 40 and two that do not say: (80 + 200) / 4 = 70
        assert_eq!(rules.wish(4, Pods { ready: &[40.0; 2], unready: 0, missing: 2 }), 3);
        assert_eq!(rules.wish(4, Pods { ready: &[], unready: 1, missing: 3 }), 4, "nobody says anything");
    }

    #[test]
    fn eighty_replicas_go_by_eight_and_below_forty_by_four() {
        // "if there are 80 replicas and the target has to be scaled down to 10 replicas then during the first step 8 replicas will be
        // reduced. In the next iteration when the number of replicas is 72, 10% of the pods is 7.2 but the number is rounded up to 8.
        // […] When the number of replicas falls below 40 the first policy will be applied and 4 replicas will be reduced at a time."
        let policy = |unit, value| Policy { unit, value, period: 60.0 };
        let policies = vec![policy(Unit::Pods, 4), policy(Unit::Percent, 10)];
        let down = Direction { window: 0.0, policies, ..Direction::default_down() };
        let mut autoscaler = Autoscaler::new(Rules { down, ..rules(1, 100, 100.0) });
        let (mut replicas, mut all) = (80, Vec::new());
        for minute in 0..12 {
            let now = f64::from(minute) * 60.0;
            let values = vec![1_000.0 / f64::from(replicas); replicas as usize];
            replicas = autoscaler.decide(now, replicas, ready(&values));
            assert_eq!(autoscaler.decide(now + 30.0, replicas, ready(&[1.0])), replicas, "once a period");
            all.push(replicas);
        }
        assert_eq!(all, [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16]);
    }

    #[test]
    fn the_policy_that_changes_least_holds_when_it_is_asked_for() {
        let policy = |unit, value| Policy { unit, value, period: 60.0 };
        let policies = vec![policy(Unit::Pods, 5), policy(Unit::Percent, 10)];
        let down = Direction { window: 0.0, select: Select::Min, policies, ..Direction::default_down() };
        let mut autoscaler = Autoscaler::new(Rules { down: down.clone(), ..rules(1, 100, 100.0) });
        assert_eq!(autoscaler.decide(0.0, 20, ready(&[1.0; 20])), 18);
        let disabled = Direction { select: Select::Disabled, ..down };
        let mut autoscaler = Autoscaler::new(Rules { down: disabled, ..rules(1, 100, 100.0) });
        assert_eq!(autoscaler.decide(0.0, 20, ready(&[1.0; 20])), 20);
    }

    #[test]
    fn the_highest_recommendation_of_the_window_holds_on_the_way_down() {
        let mut autoscaler = Autoscaler::new(rules(1, 100, 100.0));
        assert_eq!(autoscaler.decide(0.0, 10, ready(&[100.0; 10])), 10);
        assert_eq!(autoscaler.decide(15.0, 10, ready(&[50.0; 10])), 10, "five minutes have not passed");
        assert_eq!(autoscaler.decide(100.0, 10, ready(&[70.0; 10])), 10);
        assert_eq!(autoscaler.decide(301.0, 10, ready(&[50.0; 10])), 7, "seven was asked for at 100 s");
        assert_eq!(autoscaler.decide(401.0, 7, ready(&[71.0; 7])), 5);
    }

    #[test]
    fn the_way_up_is_doubled_at_once_and_bounded() {
        let percent = Policy { unit: Unit::Percent, value: 100, period: 30.0 };
        let up = Direction { policies: vec![percent], ..Direction::default() };
        let mut autoscaler = Autoscaler::new(Rules { up, ..rules(2, 10, 700.0) });
        assert_eq!(autoscaler.decide(0.0, 2, ready(&[4_000.0; 2])), 4);
        assert_eq!(autoscaler.decide(15.0, 4, ready(&[2_000.0; 4])), 4, "the period has begun with two");
        assert_eq!(autoscaler.decide(30.0, 4, ready(&[2_000.0; 4])), 8);
        assert_eq!(autoscaler.decide(60.0, 8, ready(&[2_000.0; 8])), 10, "the most there may be");
    }

    #[test]
    fn time_may_run_faster() {
        let fast = rules(2, 10, 700.0).faster(20.0);
        assert_eq!((fast.down.window, fast.up.policies[0].period), (15.0, 0.75));
    }
}
