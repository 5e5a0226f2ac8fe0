import { graph, quantiles, row, stat } from "./panel.mjs";

export default {
  name: "cluster",
  title: "Redis and other nodes",
  description: "What nodes say to each other, and the Redis or Valkey between them. Empty with one node.",
  rows: [
    row("Now", [
      stat("Nodes that hear others", "none", "Connected to Redis, with all their subscriptions. Normal: all nodes (`RoomcastBrokerDown`).", [["sum(roomcast_broker_up{})", "nodes"]], { limits: [1], lessIsWorse: true }),
      stat("Nodes that are known", "none", "By the node that knows fewest. Normal: all of them (`RoomcastNodesMissing`).", [["min(roomcast_nodes{})", "nodes"]], { limits: [1], lessIsWorse: true }),
      stat("Oldest probe", "s", "Normal: below 2 s. Above 15 s a node is cut off, whatever its connection looks like (`RoomcastProbeOld`).", [["max(roomcast_broker_probe_age_seconds{})", "age"]], { limits: [5, 15] }),
      stat("Round trip", "s", "Of the last probe of the slowest node. Normal: about the ping to Redis. See `RoomcastBrokerSlow`.", [["max(roomcast_broker_probe_seconds{})", "round trip"]], { limits: [0.1, 0.2] }),
      stat("Commands of Redis", "ops", "By the busiest server. Normal: below 80 % of roomcast:redis_ops:limit (`RoomcastBrokerOps`).", [["max(roomcast_broker_server_ops{})", "commands"]]),
      stat("Losses in an hour", "none", "Payloads that did not get to other nodes, or came faster than they were read. Normal: 0 (`RoomcastPublishLosses`, `RoomcastEventsLost`).", [["sum(increase(roomcast_broker_publish_losses_total{}[1h])) + sum(increase(roomcast_broker_lost_total{}[1h]))", "payloads"]], { limits: [1] }),
    ]),
    row("The way", [
      graph("From publishing to hearing", "s", "Probes through the queues of a node, Redis and back. Normal: some milliseconds. Above 200 ms see `RoomcastBrokerSlow`.", quantiles("roomcast_broker_lag_seconds_bucket{}", "instance"), { limits: [0.1, 0.2] }),
      graph("Since a probe came round", "s", "Normal: below 2 s. Rising steadily: nothing gets through (`RoomcastProbeOld`).", [["roomcast_broker_probe_age_seconds{}", "{{instance}}"]], { limits: [5, 15] }),
      graph("Connections that came up", "short", "In 15 minutes. Normal: none. Again and again: `RoomcastBrokerReconnects`.", [["increase(roomcast_broker_connections_total{}[15m])", "{{instance}}"]]),
      graph("Payloads published", "cps", "By node. Normal: with what clients publish. One room on several nodes costs one for each event, however many members it has.", [["rate(roomcast_broker_published_total{}[$__rate_interval])", "{{instance}}"]], { stack: true }),
      graph("Payloads heard", "cps", "wanted: for rooms with members there; unwanted: for others. Normal: next to none is unwanted; much of it comes from servers that are no roomcast.", [["sum(rate(roomcast_broker_received_total{}[$__rate_interval])) - sum(rate(roomcast_broker_unwanted_total{}[$__rate_interval]))", "wanted"], ["sum(rate(roomcast_broker_unwanted_total{}[$__rate_interval]))", "unwanted"]], { stack: true }),
      graph("Bytes between nodes", "Bps", "Normal: well below the network of Redis, which sends each payload to every node that wants it.", [["sum(rate(roomcast_broker_published_bytes_total{}[$__rate_interval]))", "published"], ["sum(rate(roomcast_broker_received_bytes_total{}[$__rate_interval]))", "heard"]]),
      graph("What waits for Redis", "bytes", "Normal: 0. While Redis is away it grows up to redis-hold-bytes for redis-hold; then it is given up.", [["roomcast_broker_waiting_bytes{}", "{{instance}}"]]),
      graph("Payloads given up", "cps", "By reason. Normal: none. See `RoomcastPublishLosses`.", [["sum by (reason) (rate(roomcast_broker_publish_losses_total{}[$__rate_interval]))", "{{reason}}"]], { limits: [0.001] }),
      graph("Rooms that are heard from", "short", "Subscriptions by node. Normal: as many as rooms with members on the node.", [["roomcast_broker_subscriptions{}", "{{instance}}"]]),
    ]),
    row("Redis", [
      graph("Commands", "ops", "By server, of all its clients. Normal: below 80 % of roomcast:redis_ops:limit. Above it see `RoomcastBrokerOps`.", [["max by (server) (roomcast_broker_server_ops{})", "{{server}}"], ["0.8 * roomcast:redis_ops:limit", "80 % of the limit"]]),
      graph("Memory", "bytes", "By server. Normal: small; what roomcast keeps there ends by itself. Near its maximum see `RoomcastBrokerMemory`.", [["max by (server) (roomcast_broker_server_memory_bytes{})", "{{server}}"], ["max by (server) (roomcast_broker_server_memory_limit_bytes{}) > 0", "{{server}} maximum"]]),
      graph("Connections", "short", "By server. Normal: a few for each node. Growth: somebody does not close them.", [["max by (server) (roomcast_broker_server_clients{})", "{{server}}"]]),
    ]),
    row("Nodes with each other", [
      graph("Rates counted alone", "cps", "Decisions about rates that a node made by its own count, by reason. Normal: none. See `RoomcastSharedLimitsFallback`.", [["sum by (reason) (rate(roomcast_shared_limits_fallbacks_total{}[$__rate_interval])) > 0", "{{reason}}"]], { stack: true }),
      graph("Answers that did not come", "cps", "Of other nodes, to questions about rooms, members and sessions. Normal: none, some when a node ends (`RoomcastNodesSilent`).", [["rate(roomcast_nodes_silent_total{}[$__rate_interval])", "{{instance}}"]]),
      graph("Requests for sessions of other nodes", "cps", "Of clients that poll, by kind, and those that failed. Normal: no failures but unknown-node after a node has ended (`RoomcastRelayFailures`).", [["sum by (kind) (rate(roomcast_relayed_total{}[$__rate_interval]))", "{{kind}}"], ["sum by (reason) (rate(roomcast_relay_failures_total{}[$__rate_interval])) > 0", "failed: {{reason}}"]]),
    ]),
  ],
};
