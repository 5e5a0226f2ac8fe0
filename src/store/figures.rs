//! The one statement that a dashboard costs, in the words of both databases.

use super::records::{FIGURES_MINUTES, Figures, Severity, Took};
use super::{DashboardScope, Looked, StoreError};

/// Services that are named; the others are summed up.
const TOP: usize = 20;

const MINUTE_US: i64 = 60_000_000;

/// What the databases say differently.
pub(super) struct Dialect {
    /// What stands before the number of a parameter.
    pub(super) param: char,
    /// How text is compared by its bytes.
    pub(super) bytewise: &'static str,
    /// Rows of two columns as one JSON text.
    pub(super) pairs: fn(&str, &str) -> String,
    /// The value at this hundredth of an expression, over the rows of `r` that fulfil a condition.
    pub(super) percentile: fn(u32, &str, &str) -> String,
}

/// The statement. Its parameters: the slug of a service or `NULL`, a team or `NULL`, the present moment, and the target in
/// microseconds of services that have none.
pub(super) fn statement(dialect: &Dialect) -> String {
    let mut columns = vec!["(SELECT count(*) FROM s)".to_owned()];
    for status in Figures::OPEN {
        columns.extend(Severity::ALL.map(|severity| {
            let (status, severity) = (status.as_str(), severity.as_str());
            format!("count(*) FILTER (WHERE status = '{status}' AND severity = '{severity}')")
        }));
    }
    columns.push("count(*) FILTER (WHERE status = 'triggered' AND opened_at <= $3 - target)".into());
    columns.push("count(DISTINCT slug) FILTER (WHERE status <> 'resolved')".into());
    for when in ["acknowledged_at", "resolved_at"] {
        for seconds in Figures::WINDOWS {
            let micros = seconds * 1_000_000;
            let (took, which) =
                (format!("{when} - opened_at"), format!("status <> 'suppressed' AND {when} >= $3 - {micros}"));
            columns.push(format!("count(*) FILTER (WHERE {which})"));
            columns.push(format!("CAST(round(avg({took}) FILTER (WHERE {which})) AS bigint)"));
            columns.extend([50, 95].map(|hundredth| (dialect.percentile)(hundredth, &took, &which)));
        }
    }
    columns.push(format!("(SELECT {} FROM top)", (dialect.pairs)("slug", "n")));
    let hour = format!("($3 / {MINUTE_US} - {}) * {MINUTE_US}", FIGURES_MINUTES - 1);
    for when in ["opened_at", "resolved_at"] {
        let pairs = (dialect.pairs)("minute", "n");
        columns.push(format!(
            "(SELECT {pairs} FROM (SELECT ({when} - {hour}) / {MINUTE_US} AS minute, count(*) AS n FROM r \
             WHERE {when} >= {hour} GROUP BY 1) AS minutes)"
        ));
    }
    columns.extend(["(SELECT count(*) FROM outbox)".into(), "(SELECT min(created_at) FROM outbox)".into()]);
    let (week, bytewise, columns) = (Figures::WINDOWS[2] * 1_000_000, dialect.bytewise, columns.join(", "));
    let sql = format!(
        "WITH s AS MATERIALIZED (SELECT id, slug, coalesce(ack_target_secs * 1000000, $4) AS target FROM services \
         WHERE ($1 IS NULL OR slug = $1) AND ($2 IS NULL OR team = $2)), \
         r AS MATERIALIZED (SELECT s.slug, s.target, i.status, i.severity, i.opened_at, i.acknowledged_at, i.resolved_at \
         FROM incidents i JOIN s ON s.id = i.service_id WHERE i.status <> 'resolved' OR i.opened_at >= {hour} \
         OR i.acknowledged_at >= $3 - {week} OR i.resolved_at >= $3 - {week}), \
         top AS (SELECT slug, count(*) AS n FROM r WHERE status <> 'resolved' GROUP BY slug \
         ORDER BY n DESC, slug {bytewise} LIMIT {TOP}) \
         SELECT {columns} FROM r"
    );
    sql.replace('$', &dialect.param.to_string())
}

/// The row that the statement returns.
pub(super) trait Row {
    /// A column with a number, if there is one.
    fn number(&self, column: usize) -> Result<Option<i64>, StoreError>;
    /// A column with text, if there is one.
    fn text(&self, column: usize) -> Result<Option<String>, StoreError>;
}

/// What the row says about a scope at `now`.
pub(super) fn read(scope: &DashboardScope, now: i64, row: &impl Row) -> Result<Looked, StoreError> {
    let mut row = Reader { row, column: 0 };
    let services = row.count()?;
    if services == 0 && *scope != DashboardScope::Global {
        return Ok(Looked::Missing);
    }
    let mut figures = Figures { at: now, services, ..Figures::default() };
    for count in figures.open.as_flattened_mut() {
        *count = row.count()?;
    }
    (figures.over_target, figures.open_services) = (row.count()?, row.count()?);
    for took in figures.acknowledged.iter_mut().chain(&mut figures.resolved) {
        *took = Took { count: row.count()?, mean: row.number()?, p50: row.number()?, p95: row.number()? };
    }
    figures.top = row.pairs()?;
    figures.top.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    figures.minutes_from = (now.div_euclid(MINUTE_US) + 1).saturating_sub_unsigned(FIGURES_MINUTES as u64) * MINUTE_US;
    figures.triggered_per_minute = per_minute(row.pairs()?);
    figures.resolved_per_minute = per_minute(row.pairs()?);
    (figures.outbox_depth, figures.outbox_oldest) = (row.count()?, row.number()?);
    Ok(Looked::Figures(Box::new(figures)))
}

/// What is ahead of this node's clock has happened just now.
fn per_minute(pairs: Vec<(usize, u64)>) -> Vec<u64> {
    let mut minutes = vec![0; FIGURES_MINUTES];
    for (minute, n) in pairs {
        minutes[minute.min(FIGURES_MINUTES - 1)] += n;
    }
    minutes
}

struct Reader<'a, R> {
    row: &'a R,
    column: usize,
}

impl<R: Row> Reader<'_, R> {
    fn number(&mut self) -> Result<Option<i64>, StoreError> {
        self.column += 1;
        self.row.number(self.column - 1)
    }

    fn count(&mut self) -> Result<u64, StoreError> {
        Ok(self.number()?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
    }

    fn pairs<T: serde::de::DeserializeOwned>(&mut self) -> Result<Vec<(T, u64)>, StoreError> {
        self.column += 1;
        let text = self.row.text(self.column - 1)?;
        let pairs = text.map_or_else(|| Ok(Vec::new()), |text| serde_json::from_str(&text));
        pairs.map_err(|error| StoreError::Fault(error.to_string()))
    }
}

/// The parameters that name a scope.
pub(super) fn names(scope: DashboardScope) -> (Option<String>, Option<String>) {
    match scope {
        DashboardScope::Global => (None, None),
        DashboardScope::Service(slug) => (Some(slug), None),
        DashboardScope::Team(team) => (None, Some(team)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_ahead_of_the_clock_is_counted_in_the_last_minute() {
        let minutes = per_minute(vec![(0, 1), (59, 2), (75, 4)]);
        assert_eq!((minutes.len(), minutes[0], minutes[59]), (60, 1, 6));
    }

    #[test]
    fn both_databases_are_asked_for_the_same_columns() {
        let plain = |param| Dialect {
            param,
            bytewise: "",
            pairs: |a, b| format!("pairs({a}, {b})"),
            percentile: |hundredth, took, which| format!("percentile({hundredth}, {took}, {which})"),
        };
        assert_eq!(statement(&plain('?')), statement(&plain('$')).replace('$', "?"));
    }
}
