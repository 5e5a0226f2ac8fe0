//! Reads the rules of an autoscaler from its manifest.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use saphyr::{LoadableYamlNode as _, Yaml};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::hpa::{Direction, Policy, Rules, Select, Unit};

/// What is read of a manifest; the rest is somebody else's business.
#[derive(Debug, PartialEq)]
pub(crate) struct Manifest {
    /// The metric of pods.
    pub(crate) metric: String,
    /// What follows from it.
    pub(crate) rules: Rules,
    /// Metrics of other kinds, which are not looked at.
    pub(crate) others: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    min_replicas: Option<u32>,
    max_replicas: u32,
    metrics: Vec<Value>,
    behavior: Option<Behavior>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Behavior {
    scale_up: Option<Scaling>,
    scale_down: Option<Scaling>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scaling {
    stabilization_window_seconds: Option<f64>,
    select_policy: Option<String>,
    policies: Option<Vec<ScalingPolicy>>,
    tolerance: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScalingPolicy {
    r#type: String,
    value: u32,
    period_seconds: f64,
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Manifest> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Manifest> {
    let documents = Yaml::load_from_str(text)?;
    let documents: Vec<_> = documents.iter().map(to_json).collect::<Result<_>>()?;
    let is_one = |document: &&Value| document["kind"] == "HorizontalPodAutoscaler";
    let one = documents.iter().find(is_one).context("there is no HorizontalPodAutoscaler in it")?;
    ensure!(one["apiVersion"] == "autoscaling/v2", "apiVersion: {} is not autoscaling/v2", one["apiVersion"]);
    let spec: Spec = serde_json::from_value(one["spec"].clone()).context("spec")?;
    let (mut pods, mut others) = (Vec::new(), Vec::new());
    for metric in &spec.metrics {
        match metric["type"].as_str() {
            Some("Pods") => pods.push(&metric["pods"]),
            Some("Resource") => others.push(metric["resource"]["name"].as_str().unwrap_or("?").to_owned()),
            Some(other) => others.push(other.to_owned()),
            None => bail!("spec.metrics: one has no type"),
        }
    }
    let [metric] = pods[..] else { bail!("spec.metrics: one of type Pods is needed, not {}", pods.len()) };
    let name = metric["metric"]["name"].as_str().context("pods.metric.name is missing")?.to_owned();
    let target = quantity(&metric["target"]["averageValue"]).context("pods.target.averageValue")?;
    let behavior = spec.behavior.unwrap_or_default();
    let rules = Rules {
        min: spec.min_replicas.unwrap_or(1),
        max: spec.max_replicas,
        target,
        up: direction(behavior.scale_up, Direction::default()).context("behavior.scaleUp")?,
        down: direction(behavior.scale_down, Direction::default_down()).context("behavior.scaleDown")?,
    };
    ensure!(rules.min >= 1 && rules.min <= rules.max, "minReplicas {} and maxReplicas {}", rules.min, rules.max);
    ensure!(rules.target > 0.0, "pods.target.averageValue: it must be above 0");
    Ok(Manifest { metric: name, rules, others })
}

fn direction(scaling: Option<Scaling>, usual: Direction) -> Result<Direction> {
    let Some(scaling) = scaling else { return Ok(usual) };
    let select = match scaling.select_policy.as_deref() {
        None => usual.select,
        Some("Max") => Select::Max,
        Some("Min") => Select::Min,
        Some("Disabled") => Select::Disabled,
        Some(other) => bail!("selectPolicy: `{other}` is not Max, Min or Disabled"),
    };
    let policy = |policy: ScalingPolicy| {
        let unit = match policy.r#type.as_str() {
            "Pods" => Unit::Pods,
            "Percent" => Unit::Percent,
            other => bail!("policies: `{other}` is not Pods or Percent"),
        };
        Ok(Policy { unit, value: policy.value, period: policy.period_seconds })
    };
    let policies = scaling.policies.map(|policies| policies.into_iter().map(policy).collect::<Result<Vec<_>>>());
    Ok(Direction {
        window: scaling.stabilization_window_seconds.unwrap_or(usual.window),
        select,
        policies: policies.transpose()?.unwrap_or(usual.policies),
        tolerance: scaling.tolerance.map(|tolerance| quantity(&tolerance)).transpose()?.unwrap_or(usual.tolerance),
    })
}

/// A quantity such as 700, "700", "0.1", "500m" or "2k".
fn quantity(value: &Value) -> Result<f64> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => bail!("it is missing"),
    };
    let (number, factor) = match text.as_bytes().last() {
        Some(b'm') => (&text[..text.len() - 1], 1e-3),
        Some(b'k') => (&text[..text.len() - 1], 1e3),
        _ => (text.as_str(), 1.0),
    };
    let number: f64 = number.parse().ok().with_context(|| format!("`{text}` is no number, with m or k"))?;
    Ok(number * factor)
}

fn to_json(yaml: &Yaml<'_>) -> Result<Value> {
    if let Some(mapping) = yaml.as_mapping() {
        let entry = |(key, value): (&Yaml<'_>, &Yaml<'_>)| {
            Ok((key.as_str().context("a key is no text")?.to_owned(), to_json(value)?))
        };
        return Ok(Value::Object(mapping.iter().map(entry).collect::<Result<Map<_, _>>>()?));
    }
    if let Some(sequence) = yaml.as_sequence() {
        return Ok(Value::Array(sequence.iter().map(to_json).collect::<Result<_>>()?));
    }
    let scalar = yaml.as_bool().map(Value::from).or_else(|| yaml.as_integer().map(Value::from));
    let scalar = scalar.or_else(|| yaml.as_floating_point().map(Value::from));
    Ok(scalar.or_else(|| yaml.as_str().map(Value::from)).unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
# a list of two
apiVersion: v1
kind: ServiceAccount
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: x}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: x}
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}
    - type: Pods
      pods:
        metric: {name: roomcast_open_sockets}
        target: {type: AverageValue, averageValue: "700"}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 600
      selectPolicy: Min
      policies:
        - {type: Pods, value: 1, periodSeconds: 300}
"#;

    #[test]
    fn what_is_said_is_read_and_what_is_not_is_as_usual() {
        let manifest = parse(MANIFEST).unwrap();
        assert_eq!(
            (manifest.metric.as_str(), &manifest.others[..]),
            ("roomcast_open_sockets", &["cpu".to_owned()][..])
        );
        let policies = vec![Policy { unit: Unit::Pods, value: 1, period: 300.0 }];
        let down = Direction { window: 600.0, select: Select::Min, policies, tolerance: 0.1 };
        let rules = Rules { min: 2, max: 10, target: 700.0, up: Direction::default(), down };
        assert_eq!(manifest.rules, rules);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, named) in [
            ("\"700\"", "many", "averageValue"),
            ("selectPolicy: Min", "selectPolicy: Least", "selectPolicy"),
            ("maxReplicas: 10", "maxReplicas: 1", "maxReplicas"),
            ("maxReplicas: 10", "maximum: 10", "maxReplicas"),
            ("type: Pods\n      pods", "type: Object\n      object", "type Pods"),
            ("type: Pods, value", "type: Nodes, value", "Nodes"),
            ("HorizontalPodAutoscaler", "Deployment", "HorizontalPodAutoscaler"),
            ("autoscaling/v2", "autoscaling/v1", "autoscaling/v2"),
        ] {
            let error = parse(&MANIFEST.replace(from, to)).unwrap_err();
            assert!(format!("{error:#}").contains(named), "{named}: {error:#}");
        }
        assert!(parse("a: [").is_err());
    }

    #[test]
    fn quantities_have_units() {
        let read = |value: Value| quantity(&value).unwrap();
        assert_eq!(
            [read("500m".into()), read("2k".into()), read(7.into()), read("0.1".into())],
            [0.5, 2_000.0, 7.0, 0.1]
        );
    }

    #[test]
    fn the_manifest_of_this_repository_is_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../k8s/base/horizontalpodautoscaler.yaml");
        let manifest = read(Path::new(path)).unwrap();
        assert_eq!(manifest.metric, "roomcast_open_sockets");
        assert!(manifest.rules.min >= 2, "one replica cannot be drained to another");
    }
}
