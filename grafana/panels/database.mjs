import { graph, quantiles, row, stat } from "./panel.mjs";

export default {
  name: "database",
  title: "database and pool",
  description: "The database of incidents, the connections to it, and who waits for them. Empty without a database.",
  rows: [
    row("Now", [
      stat("Nodes with a database", "none", "For which it answers. Normal: all (`RoomcastDatabaseDown`).", [['sum(roomcast_db_up{,pool="primary"})', "nodes"]], { limits: [1], lessIsWorse: true }),
      stat("Busiest pool", "percentunit", "Connections in use, of the node with the fewest left. Normal: below 80 % (`RoomcastPoolBusy`).", [["max(sum without (share) (roomcast_db_pool_busy{}) / (roomcast_db_pool_max{} > 0))", "in use"]], { limits: [0.8, 1] }),
      stat("Who waits", "none", "Operations that wait for a connection. Normal: 0; more than 20: `RoomcastDatabaseBacklog`.", [["sum(roomcast_db_pool_waiting{})", "operations"]], { limits: [5, 20] }),
      stat("Waited in vain in an hour", "none", "Normal: 0. Otherwise the pool was exhausted (`RoomcastPoolExhausted`).", [["sum(increase(roomcast_db_pool_exhausted_total{}[1h]))", "operations"]], { limits: [1] }),
      stat("Connections", "none", "Open ones of all nodes. Normal: below what the server or PgBouncer allows.", [["sum(roomcast_db_pool_connections{})", "connections"]]),
      stat("More than the server has", "none", "Nodes that found that all nodes together may take too many connections. Normal: 0 (`RoomcastPoolOvercommit`).", [["sum(roomcast_db_pool_overcommit{})", "nodes"]], { limits: [1] }),
    ]),
    row("The pool", [
      graph("Connections in use", "short", "Of the primary, by share: interactive is what somebody waits for, workers what runs by itself, relay what leaves for the rooms. Normal: below 80 % of the maximum.", [['sum by (share) (roomcast_db_pool_busy{,pool="primary"})', "{{share}}"], ['sum(roomcast_db_pool_max{,pool="primary"})', "maximum"]]),
      graph("Operations that wait", "short", "By share. Normal: 0. More than 20 for a minute: `RoomcastDatabaseBacklog`.", [["sum by (share) (roomcast_db_pool_waiting{})", "{{share}}"]], { limits: [20] }),
      graph("How long they wait", "s", "For a connection, by share. Normal: below a millisecond. At db-pool-timeout they are answered 503.", quantiles("roomcast_db_pool_wait_seconds_bucket{}", "share"), { limits: [0.1, 1] }),
    ]),
    row("The replica", [
      graph("Connections to it in use", "short", "Normal: below 80 % of the maximum. Empty without a replica; so are the next two.", [['sum(roomcast_db_pool_busy{,pool="replica"})', "in use"], ['sum(roomcast_db_pool_max{,pool="replica"})', "maximum"]]),
      graph("How far it is behind", "s", "Normal: below a second. More than db-read-lag: reads go to the primary (`RoomcastReplicaUnused`).", [["roomcast_db_replica_lag_seconds{}", "{{instance}}"]], { limits: [1, 5] }),
      graph("Reads that went to the primary instead", "ops", "By reason. Normal: none, or those of clients that ask for fresh answers. See `RoomcastReplicaUnused`.", [["sum by (reason) (rate(roomcast_db_read_fallbacks_total{}[$__rate_interval]))", "{{reason}}"]], { stack: true }),
    ]),
    row("What it is asked", [
      graph("Operations", "ops", "By name. Normal: as ever. Much ingest: a storm of events. Much dashboard: many look at many of them.", [["sum by (operation) (rate(roomcast_db_operations_total{}[$__rate_interval])) > 0", "{{operation}}"]], { stack: true }),
      graph("How long they take", "s", "99 of a hundred, by name, without the wait for a connection. Normal: some milliseconds. Above 300 ms see `RoomcastSlowOperations`.", [["histogram_quantile(0.99, sum by (le, operation) (rate(roomcast_db_operation_duration_seconds_bucket{}[$__rate_interval])))", "{{operation}}"]], { limits: [0.1, 0.3] }),
      graph("Slow operations", "ops", "Longer than db-slow, by name. Normal: none. The log names some of them (`RoomcastSlowOperations`).", [["sum by (operation) (rate(roomcast_db_slow_operations_total{}[$__rate_interval]))", "{{operation}}"]]),
      graph("Operations that fail", "ops", "By result. Normal: none but conflict, which is tried again. See `RoomcastDatabaseErrors`.", [['sum by (result) (rate(roomcast_db_operations_total{,result!="done"}[$__rate_interval])) > 0', "{{result}}"]], { stack: true }),
      graph("Tried again", "ops", "Transactions that others came in between. Normal: few. Many: much is changed about the same incidents at once.", [["sum(rate(roomcast_db_retries_total{}[$__rate_interval]))", "transactions"]]),
      graph("What takes its time", "short", "Connections that each operation keeps busy, on average. Normal: far below the maximum. The largest one is what to make faster.", [["sum by (operation) (rate(roomcast_db_operation_duration_seconds_sum{}[$__rate_interval])) > 0", "{{operation}}"]], { stack: true }),
    ]),
  ],
};
