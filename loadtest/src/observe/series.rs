//! Keeps how a run went, second by second: latency as the scenario sees it, and what the server uses.
//!
//! A run of any length has a bounded number of points: when they are full, two become one, and each stands for twice the
//! time. Of latencies and memory the higher one stays, since a peak is what one looks for; rates are averaged.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::process::Usage;
use crate::clock::SECOND;

/// Most points of a run.
const MAX_POINTS: usize = 3_600;

/// A run, second by second: one list for each thing that was looked at, all as long as `at_s`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Series {
    /// What a point stands for.
    pub(crate) seconds_per_point: u64,
    /// Seconds since the run began, at each point's end.
    pub(crate) at_s: Vec<u64>,
    /// Deliveries, or answers, per second.
    pub(crate) per_s: Vec<Option<f64>>,
    /// Median latency of what came then.
    pub(crate) p50_us: Vec<Option<u64>>,
    /// 95th percentile.
    pub(crate) p95_us: Vec<Option<u64>>,
    /// 99th percentile.
    pub(crate) p99_us: Vec<Option<u64>>,
    /// Longest.
    pub(crate) max_us: Vec<Option<u64>>,
    /// CPU of all the server's processes, in cores.
    pub(crate) server_cores: Vec<Option<f64>>,
    /// Their memory.
    pub(crate) server_rss_bytes: Vec<Option<u64>>,
    /// Events that the server dropped, and sessions that it ended as they were too slow, per second.
    pub(crate) drops_per_s: Vec<Option<f64>>,
    /// CPU of this tool, in cores.
    pub(crate) generator_cores: Vec<Option<f64>>,
}

/// What was there to be seen at one look; counters go on from look to look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    /// When.
    pub(crate) at: u64,
    /// The server's processes.
    pub(crate) server: Option<Usage>,
    /// This tool.
    pub(crate) own: Usage,
    /// What the server dropped so far.
    pub(crate) drops: Option<f64>,
    /// Latencies so far, in microseconds.
    pub(crate) latency: Option<Histogram<u64>>,
}

/// Makes points out of looks.
#[derive(Debug)]
pub(crate) struct Recorder {
    began: u64,
    last: Look,
    /// Looks taken for the point that is being made.
    pending: Vec<Point>,
    series: Series,
}

/// One point.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    at_s: u64,
    per_s: Option<f64>,
    latency_us: Option<[u64; 4]>,
    server_cores: Option<f64>,
    server_rss_bytes: Option<u64>,
    drops_per_s: Option<f64>,
    generator_cores: Option<f64>,
}

impl Recorder {
    /// Begins with a first look, which gives no point; nothing has come before it.
    pub(crate) fn begin(mut look: Look) -> Self {
        look.latency = None;
        Self { began: look.at, last: look, pending: Vec::new(), series: Series::empty() }
    }

    /// Notes what was seen since the last look, about a second ago.
    pub(crate) fn note(&mut self, look: Look) {
        let point = self.point(&look);
        self.last = look;
        self.pending.push(point);
        if self.pending.len() as u64 >= self.series.seconds_per_point {
            let point = merge(&self.pending);
            self.pending.clear();
            self.series.push(&point);
            if self.series.at_s.len() >= MAX_POINTS {
                self.series.coarsen();
            }
        }
    }

    /// The points, if there are any.
    pub(crate) fn finish(mut self) -> Option<Series> {
        if !self.pending.is_empty() {
            let point = merge(&self.pending);
            self.series.push(&point);
        }
        (!self.series.at_s.is_empty()).then_some(self.series)
    }

    fn point(&self, look: &Look) -> Point {
        let (last, seconds) = (&self.last, look.at.saturating_sub(self.last.at).max(1) as f64 / SECOND as f64);
        let recent = look.latency.as_ref().map(|now| since(now, last.latency.as_ref()));
        let per_second = |now: f64, before: f64| (now - before).max(0.0) / seconds;
        let server = look.server.zip(last.server);
        Point {
            at_s: (look.at - self.began + SECOND / 2) / SECOND,
            per_s: recent.as_ref().map(|recent| recent.len() as f64 / seconds),
            latency_us: recent
                .filter(|recent| !recent.is_empty())
                .map(|recent| [0.5, 0.95, 0.99, 1.0].map(|quantile| recent.value_at_quantile(quantile))),
            server_cores: server.map(|(now, before)| per_second(now.cpu_seconds, before.cpu_seconds)),
            server_rss_bytes: look.server.map(|usage| usage.rss_bytes),
            drops_per_s: look.drops.zip(last.drops).map(|(now, before)| per_second(now, before)),
            generator_cores: Some(per_second(look.own.cpu_seconds, last.own.cpu_seconds)),
        }
    }
}

/// What a histogram has got since it was looked at before; a new one began at zero.
fn since(now: &Histogram<u64>, before: Option<&Histogram<u64>>) -> Histogram<u64> {
    let mut recent = now.clone();
    if let Some(before) = before
        && now.len() >= before.len()
        && recent.subtract(before).is_err()
    {
        recent = now.clone();
    }
    recent
}

/// Several points as one: what is most of latencies and memory, what is usual of rates.
fn merge(points: &[Point]) -> Point {
    let mean = |of: fn(&Point) -> Option<f64>| {
        let values: Vec<_> = points.iter().filter_map(of).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let most = |at: usize| points.iter().filter_map(|point| point.latency_us).map(|latency| latency[at]).max();
    let latency_us = match [most(0), most(1), most(2), most(3)] {
        [Some(p50), Some(p95), Some(p99), Some(max)] => Some([p50, p95, p99, max]),
        _ => None,
    };
    Point {
        at_s: points.last().map_or(0, |point| point.at_s),
        per_s: mean(|point| point.per_s),
        latency_us,
        server_cores: mean(|point| point.server_cores),
        server_rss_bytes: points.iter().filter_map(|point| point.server_rss_bytes).max(),
        drops_per_s: mean(|point| point.drops_per_s),
        generator_cores: mean(|point| point.generator_cores),
    }
}

impl Series {
    fn empty() -> Self {
        Self {
            seconds_per_point: 1,
            at_s: Vec::new(),
            per_s: Vec::new(),
            p50_us: Vec::new(),
            p95_us: Vec::new(),
            p99_us: Vec::new(),
            max_us: Vec::new(),
            server_cores: Vec::new(),
            server_rss_bytes: Vec::new(),
            drops_per_s: Vec::new(),
            generator_cores: Vec::new(),
        }
    }

    fn push(&mut self, point: &Point) {
        let hundredths = |value: Option<f64>| value.map(|value| (value * 100.0).round() / 100.0);
        let latency = |at: usize| point.latency_us.map(|latency| latency[at]);
        self.at_s.push(point.at_s);
        self.per_s.push(hundredths(point.per_s));
        self.p50_us.push(latency(0));
        self.p95_us.push(latency(1));
        self.p99_us.push(latency(2));
        self.max_us.push(latency(3));
        self.server_cores.push(hundredths(point.server_cores));
        self.server_rss_bytes.push(point.server_rss_bytes);
        self.drops_per_s.push(hundredths(point.drops_per_s));
        self.generator_cores.push(hundredths(point.generator_cores));
    }

    fn get(&self, at: usize) -> Point {
        let latency_us = match [self.p50_us[at], self.p95_us[at], self.p99_us[at], self.max_us[at]] {
            [Some(p50), Some(p95), Some(p99), Some(max)] => Some([p50, p95, p99, max]),
            _ => None,
        };
        Point {
            at_s: self.at_s[at],
            per_s: self.per_s[at],
            latency_us,
            server_cores: self.server_cores[at],
            server_rss_bytes: self.server_rss_bytes[at],
            drops_per_s: self.drops_per_s[at],
            generator_cores: self.generator_cores[at],
        }
    }

    /// Makes one point of two.
    fn coarsen(&mut self) {
        let points: Vec<_> = (0..self.at_s.len()).map(|at| self.get(at)).collect();
        let seconds_per_point = self.seconds_per_point * 2;
        *self = Self { seconds_per_point, ..Self::empty() };
        for pair in points.chunks(2) {
            self.push(&merge(pair));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::tally::histogram;

    fn look(second: u64, latency: &Histogram<u64>) -> Look {
        let used = Usage { cpu_seconds: second as f64 / 2.0, rss_bytes: 1_000 + second, ..Usage::default() };
        Look {
            at: second * SECOND,
            server: Some(used),
            own: Usage::default(),
            drops: Some(second as f64 * 3.0),
            latency: Some(latency.clone()),
        }
    }

    #[test]
    fn a_point_is_what_came_since_the_point_before() {
        let mut latency = histogram(3);
        let mut recorder = Recorder::begin(look(10, &latency));
        for (second, value) in [(11, 100), (12, 9_000)] {
            (0..50).for_each(|_| latency.saturating_record(value));
            recorder.note(look(second, &latency));
        }
        recorder.note(look(13, &latency));
        let series = recorder.finish().unwrap();
        assert_eq!(series.at_s, [1, 2, 3]);
        assert_eq!(series.per_s, [Some(50.0), Some(50.0), Some(0.0)]);
        assert_eq!(series.p99_us[0], Some(100), "not the average of the run");
        assert!(series.p50_us[1].unwrap() >= 9_000);
        assert_eq!(series.p99_us[2], None, "nothing came");
        assert_eq!(series.server_cores[0], Some(0.5));
        assert_eq!(series.server_rss_bytes[2], Some(1_013));
        assert_eq!(series.drops_per_s[1], Some(3.0));
    }

    #[test]
    fn a_long_run_has_a_bounded_number_of_points_and_keeps_its_peaks() {
        let mut latency = histogram(3);
        let mut recorder = Recorder::begin(look(0, &latency));
        for second in 1..=10_000 {
            latency.saturating_record(if second == 77 { 50_000 } else { 10 });
            recorder.note(look(second, &latency));
        }
        let series = recorder.finish().unwrap();
        assert_eq!(series.seconds_per_point, 4);
        assert!(series.at_s.len() < MAX_POINTS, "{}", series.at_s.len());
        assert_eq!(*series.at_s.last().unwrap(), 10_000);
        assert!(series.max_us.iter().flatten().any(|max| *max >= 50_000), "the peak is there");
        assert_eq!(series.per_s[0], Some(1.0), "rates are averaged");
    }

    #[test]
    fn a_new_histogram_begins_at_zero() {
        let mut first = histogram(3);
        (0..10).for_each(|_| first.saturating_record(100));
        let mut recorder = Recorder::begin(look(0, &first));
        recorder.note(look(1, &first));
        let mut second = histogram(3);
        second.saturating_record(700);
        recorder.note(look(2, &second));
        assert_eq!(recorder.finish().unwrap().p50_us, [Some(100), Some(700)]);
    }
}
