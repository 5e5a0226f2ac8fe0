import { graph, row, stat } from "./panel.mjs";

export default {
  name: "overview",
  title: "overview",
  description: "Is everything fine, and which limit is near? Begin here.",
  rows: [
    row("Now", [
      stat("Nodes that answer", "none", "Normal: as many as you run. Fewer: see the runbook of `RoomcastDown`.", [['sum(up{job="$job"})', "nodes"]], { limits: [1], lessIsWorse: true }),
      stat("Critical alerts", "none", "Normal: 0. Otherwise the table of alerts in Prometheus says which, and docs/runbooks.md what to do.", [['count(ALERTS{job="$job",alertstate="firing",severity="critical"}) or vector(0)', "alerts"]], { limits: [1] }),
      stat("Open sockets", "short", "Normal: as many as people are there. Near what the nodes may have: add nodes (`RoomcastManySockets`).", [["sum(roomcast_open_sockets{})", "sockets"]]),
      stat("Nearest to its sockets", "percentunit", "The node that is nearest to max-sockets. Normal: below 70 %. At 100 % new clients get 503 (`RoomcastSocketsFull`).", [['max(sum without (transport) (roomcast_open_sockets{}) / ignoring (name) roomcast_limit{,name="max-sockets"})', "full"]], { limits: [0.7, 0.9] }),
      stat("Busiest node", "percentunit", "Its share of as many cores as it has workers. Normal: 40 to 70 % at most; above 75 % add nodes (`RoomcastCpuHigh`).", [["max(rate(process_cpu_seconds_total{}[$__rate_interval]) / roomcast_workers{})", "CPU"]], { limits: [0.75, 0.8] }),
      stat("Fullest memory", "percentunit", "Of what the node may take. Normal: below 60 %. At 100 % the system kills it (`RoomcastMemoryHigh`).", [["max(process_resident_memory_bytes{} / (roomcast_memory_limit_bytes{} > 0))", "memory"]], { limits: [0.8, 0.85] }),
    ]),
    row("What clients get", [
      graph("Open sockets by node", "short", "Normal: about the same on all nodes. A node with many more than the others: the load balancer does not go by least connections, or the others are new.", [["sum by (instance) (roomcast_open_sockets{})", "{{instance}}"]], { stack: true }),
      graph("Deliveries", "cps", "Events put into outboxes, a second. Normal: as ever at this time of day. A fall with as many sockets as before: publishers are gone, or Redis (`RoomcastBrokerDown`).", [["sum by (instance) (rate(roomcast_deliveries_total{}[$__rate_interval]))", "{{instance}}"]], { stack: true }),
      graph("Events that did not arrive", "cps", "By reason. Normal: none, or those that a policy of a room asks for (conflated, oldest, volatile). Others: `RoomcastEventsDropped`.", [["sum by (reason) (rate(roomcast_drops_total{}[$__rate_interval])) > 0", "{{reason}}"]], { stack: true }),
      graph("How late workers are", "s", "Normal: about a millisecond. From 200 ms on clients notice (`RoomcastWorkerLag`); from 2 s on the node is not ready (`RoomcastWorkersStuck`).", [["max by (instance) (roomcast_worker_tick_lag_max_seconds{})", "{{instance}}"]], { limits: [0.2, 2] }),
      graph("Clients that do not get in", "cps", "Handshakes by result, those that are accepted aside. Normal: next to none. See `RoomcastHandshakesFail`.", [['sum by (result) (rate(roomcast_handshakes_total{,result!="accepted"}[$__rate_interval])) > 0', "{{result}}"]], { stack: true }),
      graph("HTTP requests that fail", "percentunit", "Share of requests answered with 5xx, health checks aside. Normal: none. Above 0.1 % look (`RoomcastHttpErrors`), above 1 % now (`RoomcastHttpErrorsHigh`).", [['roomcast:http_errors:ratio_rate5m{job="$job"} or vector(0)', "5xx"]], { limits: [0.001, 0.01] }),
    ]),
    row("What nodes need", [
      graph("CPU", "percentunit", "Share of as many cores as there are workers. Normal: 40 to 70 % at most. Above 75 % add nodes (`RoomcastCpuHigh`).", [["rate(process_cpu_seconds_total{}[$__rate_interval]) / roomcast_workers{}", "{{instance}}"]], { limits: [0.75, 0.8] }),
      graph("Memory", "percentunit", "Of what the node may take. Normal: below 60 %, and it follows the number of sockets. See `RoomcastMemoryHigh`.", [["process_resident_memory_bytes{} / (roomcast_memory_limit_bytes{} > 0)", "{{instance}}"]], { limits: [0.8, 0.85], max: 1 }),
      graph("File descriptors", "percentunit", "Open ones, of those that the node may have. Normal: below 80 %. Above it raise the limit (`RoomcastFileDescriptors`).", [["process_open_fds{} / process_max_fds{}", "{{instance}}"]], { limits: [0.8, 0.95], max: 1 }),
      graph("Since a probe came round", "s", "Through Redis and back, once a second. Normal: below 2 s; 0 without Redis. Above 15 s the node is cut off (`RoomcastProbeOld`).", [["roomcast_broker_probe_age_seconds{}", "{{instance}}"]], { limits: [5, 15] }),
      graph("Connections to the database in use", "percentunit", "Of those that the node may have. Normal: below 80 %. Then requests begin to wait (`RoomcastPoolBusy`).", [["sum without (share) (roomcast_db_pool_busy{}) / (roomcast_db_pool_max{} > 0)", "{{instance}}"]], { limits: [0.8, 1], max: 1 }),
      graph("Oldest event on its way to a room", "s", "What happens to incidents is said in their rooms. Normal: below 1 s. See `RoomcastOutboxOld`.", [["max(roomcast_outbox_oldest_age_seconds{})", "oldest"]], { limits: [10, 300] }),
    ]),
  ],
};
