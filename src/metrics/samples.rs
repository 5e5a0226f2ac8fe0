//! Samples and families of the Prometheus text format.

use super::cells::{BOUNDS_US, Histogram};
use prometheus::proto::{self, MetricFamily, MetricType};

/// A histogram: for each set of labels the sum of some.
pub(super) fn histogram<'a>(
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, Vec<&'a Histogram>)>,
) -> MetricFamily {
    let metrics = samples.into_iter().map(|(pairs, parts)| {
        let (mut counts, mut sum_us) = ([0; BOUNDS_US.len() + 1], 0);
        parts.into_iter().for_each(|part| part.add_to(&mut counts, &mut sum_us));
        let buckets = BOUNDS_US.iter().zip(counts).map(|(bound, count)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(seconds(*bound));
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(counts[BOUNDS_US.len()]);
        histogram.set_sample_sum(seconds(sum_us));
        let mut metric = proto::Metric::from_label(labels(&pairs));
        metric.set_histogram(histogram);
        metric
    });
    family(name, help, MetricType::HISTOGRAM, metrics.collect())
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floating point")]
fn float(n: u64) -> f64 {
    n as f64
}

fn seconds(us: u64) -> f64 {
    float(us) / 1e6
}

pub(super) fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<proto::Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labels(pairs: &[(&str, &str)]) -> Vec<proto::LabelPair> {
    let named = pairs.iter().filter(|(name, _)| !name.is_empty());
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    named.map(pair).collect()
}

pub(super) fn gauge(pairs: &[(&str, &str)], value: u64) -> proto::Metric {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(float(value));
    let mut metric = proto::Metric::from_label(labels(pairs));
    metric.set_gauge(gauge);
    metric
}

pub(super) fn seconds_gauge(us: u64) -> proto::Metric {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(seconds(us));
    proto::Metric::from_gauge(gauge)
}

pub(super) fn single_gauge(name: &str, help: &str, value: u64) -> MetricFamily {
    family(name, help, MetricType::GAUGE, vec![gauge(&[], value)])
}

pub(super) fn gauges<'a>(
    name: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = (&'a str, u64)>,
) -> MetricFamily {
    let metrics = values.into_iter().map(|(key, value)| gauge(&[(label, key)], value));
    family(name, help, MetricType::GAUGE, metrics.collect())
}

pub(super) fn labelled_gauges<'a>(
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, u64)>,
) -> MetricFamily {
    let metrics = values.into_iter().map(|(pairs, value)| gauge(&pairs, value));
    family(name, help, MetricType::GAUGE, metrics.collect())
}

pub(super) fn counters<'a>(
    name: &str,
    help: &str,
    label: &'a str,
    values: impl IntoIterator<Item = (&'a str, u64)>,
) -> MetricFamily {
    labelled_counters(name, help, values.into_iter().map(|(key, value)| (vec![(label, key)], value)))
}

pub(super) fn labelled_counters<'a>(
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, u64)>,
) -> MetricFamily {
    let metrics = values.into_iter().map(|(pairs, value)| {
        let mut counter = proto::Counter::default();
        counter.set_value(float(value));
        let mut metric = proto::Metric::from_label(labels(&pairs));
        metric.set_counter(counter);
        metric
    });
    family(name, help, MetricType::COUNTER, metrics.collect())
}
