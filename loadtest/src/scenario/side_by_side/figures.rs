//! Says which figures of a measurement are compared, and how rounds become one figure.

use crate::cli::Measurement;
use crate::report::{Load, Results, Server};

/// What the system calls the process between nodes.
const REDIS: &str = "redis-server";

/// One compared figure: a row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    /// Row heading, with the unit.
    pub(crate) name: &'static str,
    /// Digits after the point.
    pub(crate) digits: usize,
    /// Takes it from a trial's results.
    pub(crate) read: fn(&Results) -> Option<f64>,
    /// A measurement whose same figure this one is divided by.
    pub(crate) over: Option<Measurement>,
}

const fn figure(name: &'static str, digits: usize, read: fn(&Results) -> Option<f64>) -> Figure {
    Figure { name, digits, read, over: None }
}

const fn growth(name: &'static str, read: fn(&Results) -> Option<f64>) -> Figure {
    Figure { name, digits: 2, read, over: Some(Measurement::Load) }
}

const LOAD: [Figure; 3] = [
    figure("CPU per delivery, µs", 2, cpu_per_delivery),
    figure("latency p50, µs", 0, |r| load(r, |l| l.latency.p50_us as f64)),
    figure("latency p99, µs", 0, p99),
];

const LOAD_15K: [Figure; 4] = [
    figure("CPU per delivery, µs", 2, cpu_per_delivery),
    growth("the same, times that of 2,000 users", cpu_per_delivery),
    figure("latency p99, µs", 0, p99),
    growth("the same, times that of 2,000 users", p99),
];

const SATURATED: [Figure; 2] = [
    figure("sustained deliveries/s", 0, |r| Some(r.ramp.as_ref()?.max_deliveries_per_s)),
    figure("CPU per delivery, µs", 2, cpu_per_delivery),
];

const BIG_ROOM: [Figure; 3] = [
    figure("CPU per delivery, µs", 2, cpu_per_delivery),
    figure("first → last member, ms", 1, |r| Some(r.load.as_ref()?.spread?.p50_us as f64 / 1e3)),
    figure("latency p99, ms", 1, |r| load(r, |l| l.latency.p99_us as f64 / 1e3)),
];

const HOT_ROOM: [Figure; 4] = [
    figure("latency p99 in the other rooms, ms", 1, |r| load(r, |l| l.latency.p99_us as f64 / 1e3)),
    figure("lost in the other rooms", 0, |r| load(r, |l| l.lost as f64)),
    figure("deliveries/s in the flooded room", 0, |r| Some(r.load.as_ref()?.flood.as_ref()?.deliveries_per_s)),
    figure("lost in the flooded room", 0, |r| Some(r.load.as_ref()?.flood.as_ref()?.lost as f64)),
];

const CLUSTER: [Figure; 8] = [
    figure("CPU per delivery, all processes, µs", 2, cpu_per_delivery),
    figure("of it Redis, µs", 2, |r| server(r)?.cpu_us_per_delivery_of(REDIS)),
    figure("CPU of all processes, % of a core", 0, |r| Some(server(r)?.total.cores * 100.0)),
    figure("latency p50 within a node, µs", 0, |r| Some(r.load.as_ref()?.same_node?.p50_us as f64)),
    figure("latency p99 within a node, µs", 0, |r| Some(r.load.as_ref()?.same_node?.p99_us as f64)),
    figure("latency p50 across nodes, µs", 0, |r| Some(r.load.as_ref()?.cross_node?.p50_us as f64)),
    figure("latency p99 across nodes, µs", 0, |r| Some(r.load.as_ref()?.cross_node?.p99_us as f64)),
    figure("lost", 0, |r| load(r, |l| l.lost as f64)),
];

const IDLE: [Figure; 4] = [
    figure("memory per session, bytes (anonymous)", 0, |r| r.idle.as_ref()?.rss_anon_bytes_per_session),
    figure("CPU while idle, % of a core", 2, |r| Some(r.idle.as_ref()?.server_cores? * 100.0)),
    figure("CPU per connect and join, µs", 1, |r| r.connecting.as_ref()?.server_cpu_us_per_connect),
    figure("connects and joins/s", 0, |r| Some(r.connecting.as_ref()?.connects_per_s)),
];

/// The figures of a measurement.
pub(crate) fn of(measurement: Measurement) -> &'static [Figure] {
    match measurement {
        Measurement::Load => &LOAD,
        Measurement::Load15k => &LOAD_15K,
        Measurement::BigRoom => &BIG_ROOM,
        Measurement::RoomsMax | Measurement::BigRoomMax => &SATURATED,
        Measurement::HotRoom => &HOT_ROOM,
        Measurement::Idle => &IDLE,
        Measurement::Cluster => &CLUSTER,
    }
}

/// The middle value; the mean of the two middle ones when their number is even.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(values[middle - 1], upper)) }
}

/// The generator's largest CPU, as a number of cores.
pub(super) fn generator_cores(results: &Results) -> f64 {
    let steps = results.ramp.iter().flat_map(|ramp| &ramp.steps).map(|step| step.generator_cores);
    let load = results.load.iter().map(|load| load.generator.cores);
    let idle = results.idle.iter().map(|idle| idle.generator_cores);
    steps.chain(load).chain(idle).fold(0.0, f64::max)
}

/// Largest share of the time for which the server or the generator waited for a processor.
///
/// Says something about other work only while neither is near its limit: threads of a saturated server wait for each other.
pub(super) fn waiting(measurement: Measurement, results: &Results) -> f64 {
    let steady = matches!(measurement, Measurement::Load | Measurement::Load15k | Measurement::BigRoom);
    // the processes of a cluster wait for each other
    let cluster = measurement == Measurement::Cluster;
    results.load.iter().filter(|_| steady || cluster).fold(0.0, |most: f64, load| {
        let server = load.server.as_ref().filter(|_| steady).map_or(0.0, |server| server.total.waiting);
        most.max(load.generator.waiting).max(server)
    })
}

fn server(results: &Results) -> Option<&Server> {
    results.load.as_ref()?.server.as_ref()
}

fn load(results: &Results, read: impl Fn(&Load) -> f64) -> Option<f64> {
    results.load.as_ref().map(read)
}

fn p99(results: &Results) -> Option<f64> {
    load(results, |load| load.latency.p99_us as f64)
}

fn cpu_per_delivery(results: &Results) -> Option<f64> {
    Some(server(results)?.total.cpu_us_per_delivery)
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
