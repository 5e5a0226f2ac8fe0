//! Says which figures of a measurement are compared.

use crate::cli::Measurement;
use crate::report::{Load, Results};

/// One compared figure.
pub(crate) struct Figure {
    /// Column heading, with the unit.
    pub(crate) name: &'static str,
    /// Digits after the point.
    pub(crate) digits: usize,
    /// Takes it from a trial's results.
    pub(crate) read: fn(&Results) -> Option<f64>,
}

const fn figure(name: &'static str, digits: usize, read: fn(&Results) -> Option<f64>) -> Figure {
    Figure { name, digits, read }
}

const LOAD: [Figure; 6] = [
    figure("p50 µs", 0, |r| load(r, |l| l.latency.p50_us as f64)),
    figure("p99 µs", 0, |r| load(r, |l| l.latency.p99_us as f64)),
    figure("CPU µs per delivery", 2, cpu_per_delivery),
    figure("RSS MB", 1, |r| Some(r.load.as_ref()?.server?.rss_bytes as f64 / 1e6)),
    figure("lost", 0, |r| load(r, |l| l.lost as f64)),
    figure("generator cores", 2, |r| load(r, |l| l.generator.cores)),
];

const SATURATED: [Figure; 4] = [
    figure("deliveries/s", 0, |r| Some(r.ramp.as_ref()?.max_deliveries_per_s)),
    figure("CPU µs per delivery", 2, cpu_per_delivery),
    figure("p99 ms", 1, |r| load(r, |l| l.latency.p99_us as f64 / 1e3)),
    figure("generator cores", 2, |r| load(r, |l| l.generator.cores)),
];

const BIG_ROOM: [Figure; 5] = [
    figure("CPU µs per delivery", 2, cpu_per_delivery),
    figure("p99 ms", 1, |r| load(r, |l| l.latency.p99_us as f64 / 1e3)),
    figure("first → last ms", 1, |r| Some(r.load.as_ref()?.spread?.p50_us as f64 / 1e3)),
    figure("lost", 0, |r| load(r, |l| l.lost as f64)),
    figure("generator cores", 2, |r| load(r, |l| l.generator.cores)),
];

const IDLE: [Figure; 5] = [
    figure("RSS bytes per session", 0, |r| r.idle.as_ref()?.rss_bytes_per_session),
    figure("connects/s", 0, |r| Some(r.connecting.as_ref()?.connects_per_s)),
    figure("CPU µs per connect + join", 1, |r| r.connecting.as_ref()?.server_cpu_us_per_connect),
    figure("% of a core while idle", 2, |r| Some(r.idle.as_ref()?.server_cores? * 100.0)),
    figure("CPU µs per heartbeat", 1, |r| r.idle.as_ref()?.cpu_us_per_heartbeat),
];

/// The figures of a measurement.
pub(crate) fn of(measurement: Measurement) -> &'static [Figure] {
    match measurement {
        Measurement::Load => &LOAD,
        Measurement::BigRoom => &BIG_ROOM,
        Measurement::RoomsMax | Measurement::BigRoomMax => &SATURATED,
        Measurement::Idle => &IDLE,
    }
}

/// The middle value; the mean of the two middle ones when their number is even.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(values[middle - 1], upper)) }
}

fn load(results: &Results, read: impl Fn(&Load) -> f64) -> Option<f64> {
    results.load.as_ref().map(read)
}

fn cpu_per_delivery(results: &Results) -> Option<f64> {
    Some(results.load.as_ref()?.server?.cpu_us_per_delivery)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_ignore_order_and_outliers() {
        assert_eq!(median(&mut [9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [1.0, 2.0, 4.0, 100.0]), Some(3.0));
        assert_eq!(median(&mut []), None);
    }
}
