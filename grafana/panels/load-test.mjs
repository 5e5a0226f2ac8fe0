import { graph, quantiles, row, stat } from "./panel.mjs";

export default {
  name: "load-test",
  title: "load test",
  description: "What the server sees of a load test; what clients see of it is in the report of roomcast-loadtest.",
  rows: [
    row("Is it still a fair test?", [
      stat("Sockets", "short", "Normal: as many as the test has clients. Fewer: they do not get in, or were cut.", [["sum(roomcast_open_sockets{})", "sockets"]]),
      stat("Rooms", "short", "Over all nodes; a room with members on two nodes counts twice. Normal: as many as the test has, and 0 after it.", [["sum(roomcast_rooms{})", "rooms"]]),
      stat("Deliveries", "cps", "Normal: publishes times members. Fewer: something waits, or is dropped.", [["sum(rate(roomcast_deliveries_total{}[$__rate_interval]))", "deliveries"]]),
      stat("Not delivered", "none", "In the last 15 minutes. Normal: 0, unless the test is about slow clients.", [["sum(increase(roomcast_drops_total{}[15m])) + sum(increase(roomcast_broker_publish_losses_total{}[15m])) + sum(increase(roomcast_broker_lost_total{}[15m]))", "events"]], { limits: [1] }),
      stat("Refused", "none", "Handshakes and packets in the last 15 minutes. Normal: 0. rate-limited: raise the limits of the test's server, or exempt its address.", [['sum(increase(roomcast_handshakes_total{,result!="accepted"}[15m])) + sum(increase(roomcast_refusals_total{}[15m]))', "refusals"]], { limits: [1] }),
      stat("Limits hit", "none", "In the last 15 minutes. Normal: 0: otherwise the test measures a limit, not the server.", [["sum(increase(roomcast_limit_hits_total{}[15m]))", "hits"]], { limits: [1] }),
    ]),
    row("What it costs", [
      graph("CPU for each delivery", "s", "Seconds of CPU divided by deliveries. Normal: some microseconds, and less as load grows. Compare runs by this.", [["sum(rate(process_cpu_seconds_total{}[$__rate_interval])) / sum(rate(roomcast_deliveries_total{}[$__rate_interval]))", "CPU"]]),
      graph("CPU", "short", "Cores in use, by node. Normal: below the number of workers; at it, the node is the limit.", [["rate(process_cpu_seconds_total{}[$__rate_interval])", "{{instance}}"], ["roomcast_workers{}", "{{instance}} workers"]]),
      graph("Memory for each socket", "bytes", "Resident memory divided by open sockets. Normal: falls towards a few KB as sockets grow; what the process itself takes is in it.", [["sum by (instance) (process_resident_memory_bytes{}) / (sum by (instance) (roomcast_open_sockets{}) > 100)", "{{instance}}"]]),
      graph("Memory", "bytes", "By node, and what it may take. Normal: flat in a steady test. A slope that goes on is a leak.", [["process_resident_memory_bytes{}", "{{instance}}"], ["roomcast_memory_limit_bytes{} > 0", "{{instance}} limit"]]),
      graph("Bytes to clients", "Bps", "Normal: deliveries times size. Flat while the rate still rises: the network is the limit.", [["rate(roomcast_sent_bytes_total{}[$__rate_interval])", "{{instance}}"]], { stack: true }),
      graph("Events for each write", "short", "Normal: 1 in small rooms at low rates; more under load. The more, the cheaper a delivery.", [["sum by (instance) (rate(roomcast_deliveries_total{}[$__rate_interval])) / sum by (instance) (rate(roomcast_writes_total{}[$__rate_interval]))", "{{instance}}"]]),
    ]),
    row("How late it is", [
      graph("Fan-out", "s", "From taking up a broadcast to all outboxes of the node. Normal: well below 1 ms; the headline allows 100 ms from client to client.", quantiles("roomcast_broadcast_duration_seconds_bucket{}"), { limits: [0.05, 0.1] }),
      graph("How late workers are", "s", "Normal: a millisecond. It rises first when a node comes to its limit: the knee is where it leaves the ground.", quantiles("roomcast_worker_tick_lag_seconds_bucket{}"), { limits: [0.05, 0.2] }),
      graph("Between nodes", "s", "From publishing to hearing it, through Redis. Normal: some milliseconds; 3 ms of it may be redis-linger.", quantiles("roomcast_broker_lag_seconds_bucket{}"), { limits: [0.05, 0.2] }),
      graph("Answers of the HTTP API", "s", "By route, 99 of a hundred. Normal: below 150 ms. The front threads do this, not the workers.", [["histogram_quantile(0.99, sum by (le, route) (rate(roomcast_http_request_duration_seconds_bucket{}[$__rate_interval])))", "{{route}}"]], { limits: [0.15, 0.5] }),
      graph("What waits", "bytes", "For clients, between workers, and for Redis. Normal: it falls back between publishes. If it only grows, the test asks for more than there is.", [["sum(roomcast_outbox_bytes{})", "clients"], ["sum(roomcast_inbox_bytes{})", "workers"], ["sum(roomcast_broker_waiting_bytes{})", "Redis"]], { stack: true }),
      graph("Why sessions end", "cps", "Normal: client-closed at the end of the test. slow-consumer: the test's machine does not read fast enough, or the test is about that.", [["sum by (reason) (rate(roomcast_closes_total{}[$__rate_interval])) > 0", "{{reason}}"]], { stack: true }),
    ]),
  ],
};
