//! `ramp`: finds the highest rate a server sustains.
//!
//! The rate is multiplied step by step until a step fails; then the gap between the last good rate
//! and the first bad one is halved a few times. A failed step is repeated before it is believed
//! (a shared machine has bad seconds), each time with fresh connections, so that nothing of the
//! overload is left over.

use anyhow::Result;

use super::session::{Pace, Session};
use super::setting::{Crowd, Setting};
use crate::cli::SearchOptions;
use crate::clock::MICROSECOND;
use crate::progress::{duration, grouped};
use crate::report::{Load, Ramp, RampStep, Results};

/// A step must bring this share of the deliveries asked for within its window.
const ACHIEVED: f64 = 0.98;
/// Seconds of each step that do not count.
const WARMUP: f64 = 1.0;
/// Longest wait for the last deliveries of a step, in seconds.
const DRAIN: f64 = 15.0;
/// Above this many cores per thread the generator may be the limit.
const GENERATOR_BOUND: f64 = 0.93;
/// No search needs more steps.
const MAX_STEPS: usize = 60;

/// A search under way.
#[derive(Debug)]
struct Search<'a> {
    crowd: Crowd,
    options: &'a SearchOptions,
    session: Option<Session>,
    connecting: Option<crate::report::Connecting>,
    steps: Vec<RampStep>,
    best: Option<Load>,
}

/// Searches with the given crowd.
pub(crate) fn run(setting: &mut Setting, crowd: Crowd, options: &SearchOptions) -> Result<Results> {
    anyhow::ensure!(options.factor > 1.0, "the factor must be above 1");
    anyhow::ensure!(options.start > 0.0, "the first rate must be above 0");
    let mut search = Search { crowd, options, session: None, connecting: None, steps: Vec::new(), best: None };
    let (mut good, mut rate) = (0.0, options.start);
    let mut bad = loop {
        if search.is_over(setting) {
            break rate;
        }
        if !search.holds(setting, rate)? {
            break rate;
        }
        good = rate;
        rate *= options.factor;
    };
    for _ in 0..options.refine {
        if search.is_over(setting) {
            break;
        }
        let middle = if good > 0.0 { (good * bad).sqrt() } else { bad / options.factor };
        if search.holds(setting, middle)? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok(search.results(setting))
}

impl Search<'_> {
    fn is_over(&self, setting: &Setting) -> bool {
        setting.is_interrupted() || self.steps.len() >= MAX_STEPS
    }

    /// Whether the server sustains a rate, in deliveries per second.
    fn holds(&mut self, setting: &mut Setting, deliveries: f64) -> Result<bool> {
        for _ in 0..=self.options.retries {
            let load = match self.step(setting, deliveries) {
                Ok(load) => load,
                // an overloaded server may end connections; before the first good step it is
                // an error of the set-up
                Err(error) if self.best.is_none() => return Err(error),
                Err(error) => {
                    setting.warn(format!("a step could not be run: {error:#}"));
                    self.session = None;
                    continue;
                }
            };
            let failed = self.judge(&load);
            self.note(setting, &load, failed.clone());
            if failed.is_none() {
                let better = self.best.as_ref().is_none_or(|best| best.deliveries_per_s < load.deliveries_per_s);
                if better {
                    self.best = Some(load);
                }
                return Ok(true);
            }
            self.session = None;
            if setting.is_interrupted() {
                break;
            }
        }
        Ok(false)
    }

    fn step(&mut self, setting: &mut Setting, deliveries: f64) -> Result<Load> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => {
                let plan = setting.plan(&self.crowd)?;
                Session::connect(setting, plan)?
            }
        };
        let connecting = &session.connecting;
        self.connecting.get_or_insert_with(|| connecting.clone());
        let pace = Pace {
            rate: deliveries / session.deliveries_per_round(),
            warmup: WARMUP,
            duration: self.options.step_seconds,
            drain: DRAIN,
        };
        let load = session.step(setting, pace)?;
        self.session = Some(session);
        Ok(load)
    }

    fn judge(&self, load: &Load) -> Option<String> {
        let p99_limit = (self.options.p99_ms * MICROSECOND as f64) as u64;
        let achieved = load.deliveries_per_s / load.intended_per_s;
        let counts = &load.counts;
        if counts.errors + counts.closed > 0 {
            let example = load.error_samples.first().map_or("", String::as_str);
            Some(format!("{} errors, {} closed: {example}", counts.errors, counts.closed))
        } else if load.lost > 0 {
            Some(format!("{} lost", grouped(load.lost)))
        } else if counts.duplicated + counts.out_of_order > 0 {
            Some("duplicated or out of order".to_owned())
        } else if load.latency.p99_us > p99_limit {
            Some(format!("p99 {}", duration(load.latency.p99_us as f64)))
        } else if achieved < ACHIEVED {
            Some(format!("{:.1} % of the rate", achieved * 100.0))
        } else {
            None
        }
    }

    fn note(&mut self, setting: &Setting, load: &Load, failed: Option<String>) {
        setting.progress.line(&format!(
            "{:>11} deliveries/s asked, {:>11} arrived, p99 {:>9}, generator {:.2} cores: {}",
            grouped(load.intended_per_s as u64),
            grouped(load.deliveries_per_s as u64),
            duration(load.latency.p99_us as f64),
            load.generator.cores,
            failed.as_deref().unwrap_or("good"),
        ));
        self.steps.push(RampStep {
            intended_per_s: load.intended_per_s,
            deliveries_per_s: load.deliveries_per_s,
            p99_us: load.latency.p99_us,
            lost: load.lost,
            cpu_us_per_delivery: load.server.as_ref().map(|server| server.total.cpu_us_per_delivery),
            generator_cores: load.generator.cores,
            failed,
        });
    }

    fn results(self, setting: &mut Setting) -> Results {
        let threads = setting.target.threads as f64;
        let busiest = self.steps.iter().map(|step| step.generator_cores / threads).fold(0.0, f64::max);
        let generator_bound = busiest > GENERATOR_BOUND;
        if generator_bound {
            setting.warn("this tool was the limit, or close: the result is a lower bound".to_owned());
        }
        let best = self.best.as_ref();
        Results {
            connecting: self.connecting,
            ramp: Some(Ramp {
                max_deliveries_per_s: best.map_or(0.0, |best| best.deliveries_per_s),
                generator_bound,
                steps: self.steps,
            }),
            load: self.best,
            ..Results::default()
        }
    }
}
