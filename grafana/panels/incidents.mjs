import { graph, quantiles, row, stat } from "./panel.mjs";

const MONITORING = 'route=~"/v2/enqueue|/api/v1/integrations.*"';

export default {
  name: "incidents",
  title: "incidents and queues",
  description: "Events of monitoring, what waits to be said in rooms, timers and dashboards; and the HTTP API that all of it comes through.",
  rows: [
    row("Now", [
      stat("Events on their way", "none", "That wait to be said in their rooms. Normal: 0; more than 20 for minutes: `RoomcastOutboxBacklog`.", [["max(roomcast_outbox_depth{})", "events"]], { limits: [20, 200] }),
      stat("The oldest of them", "s", "Normal: below 1 s. Above 10 s see `RoomcastOutboxOld`, above 5 minutes `RoomcastQueueLag`.", [["max(roomcast_outbox_oldest_age_seconds{})", "age"]], { limits: [10, 300] }),
      stat("Events of monitoring", "cps", "That were posted. Normal: few. A storm: put the service under maintenance.", [[`sum(rate(roomcast_http_requests_total{,${MONITORING}}[$__rate_interval])) or vector(0)`, "events"]]),
      stat("Refused of them in an hour", "none", "Answered with an error. Normal: 0. 401: a wrong key. 503: no database (`RoomcastDatabaseDown`).", [[`sum(increase(roomcast_http_requests_total{,status=~"4..|5..",${MONITORING}}[1h])) or vector(0)`, "events"]], { limits: [1] }),
      stat("Not opened in an hour", "none", "Incidents of services that have as many as they may. Normal: 0 (`RoomcastIncidentsRefused`).", [["sum(increase(roomcast_incidents_refused_total{}[1h]))", "incidents"]], { limits: [1] }),
      stat("Oldest dashboard", "s", "That somebody looks at. Normal: at most dashboard-ceiling (5 s). Above 30 s see `RoomcastDashboardsOld`.", [["max(roomcast_dashboard_oldest_age_seconds{})", "age"]], { limits: [15, 30] }),
    ]),
    row("From monitoring to rooms", [
      graph("Events of monitoring", "cps", "By how they were answered. Normal: 202. 503: they are sent again, nothing is lost.", [[`sum by (status) (rate(roomcast_http_requests_total{,${MONITORING}}[$__rate_interval]))`, "{{status}}"]], { stack: true }),
      graph("How long taking one lasts", "s", "Until the answer. Normal: some milliseconds. Slow: the database (`RoomcastSlowOperations`) or its pool (`RoomcastPoolBusy`).", quantiles(`roomcast_http_request_duration_seconds_bucket{,${MONITORING}}`), { limits: [0.15, 0.5] }),
      graph("Said in rooms", "cps", "Events of incidents, by the node that said them. Normal: with events of monitoring and what people do.", [["rate(roomcast_outbox_relayed_total{}[$__rate_interval])", "{{instance}}"]], { stack: true }),
      graph("On their way", "short", "Events that wait to be said. Normal: 0 between bursts. Rising: Redis is away, or nodes are too slow (`RoomcastOutboxBacklog`).", [["max(roomcast_outbox_depth{})", "events"]], { limits: [20, 200] }),
      graph("The oldest on its way", "s", "Normal: below 1 s. Above 10 s see `RoomcastOutboxOld`.", [["max(roomcast_outbox_oldest_age_seconds{})", "age"]], { limits: [10, 300] }),
      graph("Lanes to the database", "short", "Operations that wait, by share: interactive for people and monitoring, workers for timers, relay for rooms and dashboards. Normal: 0. One lane never blocks another.", [["sum by (share) (roomcast_db_pool_waiting{})", "{{share}}"]], { limits: [20] }),
    ]),
    row("Timers and dashboards", [
      graph("Looks of the timers", "ops", "For snoozes and maintenance that end. Normal: one a second for each node. Less: the database is slow or away, and they end late.", [['sum by (result) (rate(roomcast_db_operations_total{,operation="due incidents"}[$__rate_interval]))', "{{result}}"]]),
      graph("Refreshes of dashboards", "ops", "By what became of them. Normal: done on one node, elsewhere on the others. failed: the database.", [["sum by (result) (rate(roomcast_dashboard_refreshes_total{}[$__rate_interval])) > 0", "{{result}}"]], { stack: true }),
      graph("Age of the oldest dashboard", "s", "That somebody looks at. Normal: at most 5 s. Above 30 s see `RoomcastDashboardsOld`.", [["roomcast_dashboard_oldest_age_seconds{}", "{{instance}}"]], { limits: [15, 30] }),
      graph("How long a refresh takes", "s", "With the wait for a connection. Normal: some milliseconds. Slow: see the dashboard about the database.", quantiles("roomcast_dashboard_refresh_duration_seconds_bucket{}"), { limits: [0.5, 2] }),
      graph("Shown without a look at the database", "cps", "Snapshots for those who joined or asked. Normal: many more than refreshes; that is what keeps the database quiet.", [["sum(rate(roomcast_dashboard_queries_avoided_total{}[$__rate_interval]))", "snapshots"]]),
      graph("Dashboards that are kept", "short", "By node. Normal: below the setting dashboards (1,000). At it, one more shows nothing (`RoomcastDashboardsRefused`).", [["roomcast_dashboards{}", "{{instance}}"]]),
    ]),
    row("The HTTP API", [
      graph("Requests", "reqps", "By route. Normal: as ever. The route is a template, so strangers add none.", [["sum by (route) (rate(roomcast_http_requests_total{}[$__rate_interval])) > 0", "{{route}}"]], { stack: true }),
      graph("Answers", "reqps", "By status, health checks aside. Normal: 2xx. 429: a key asks too often. 5xx: `RoomcastHttpErrors`.", [['sum by (status) (roomcast:http_requests:rate5m{job="$job"})', "{{status}}"]], { stack: true }),
      graph("How long answers take", "s", "Over all nodes, health checks aside. Normal: p50 below 60 ms, p99 below 150 ms. See `RoomcastHttpP99Slow`.", ["p50", "p95", "p99"].map((q) => [`roomcast:http_duration_seconds:${q}_rate5m{job="$job"}`, q]), { limits: [0.15, 0.5] }),
    ]),
  ],
};
