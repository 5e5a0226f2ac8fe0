import { graph, quantiles, row } from "./panel.mjs";

export default {
  name: "rooms",
  title: "rooms and sockets",
  description: "Who is there, what is said, and what becomes of it on the way to clients.",
  rows: [
    row("Who is there", [
      graph("Open sockets by transport", "short", "Normal: mostly websocket. Much polling: a proxy on the way lets no WebSockets through; see failed upgrades.", [["sum by (transport) (roomcast_open_sockets{})", "{{transport}}"]], { stack: true }),
      graph("Sessions by wire", "short", "The encoding that clients speak. Normal: as your clients are. Each wire in a room costs one more encoding of an event.", [["sum by (wire) (roomcast_sessions{})", "{{wire}}"]], { stack: true }),
      graph("Rooms by node", "short", "Rooms with a member on the node. Normal: it follows sessions. Growth without them: clients do not leave, or somebody makes rooms up (`RoomcastRoomsFull`).", [["roomcast_rooms{}", "{{instance}}"]]),
      graph("Sessions that begin and end", "cps", "Normal: both the same. A peak of both: clients reconnect, after a deployment or a cut of the network.", [['sum(rate(roomcast_handshakes_total{,result="accepted"}[$__rate_interval]))', "begin"], ["sum(rate(roomcast_closes_total{}[$__rate_interval]))", "end"]]),
      graph("Why sessions end", "cps", "Normal: client-closed, connection-lost, and restart while a node drains. slow-consumer: `RoomcastSlowConsumers`. no-pong: networks that drop packets. flood: clients that send too much.", [["sum by (reason) (rate(roomcast_closes_total{}[$__rate_interval])) > 0", "{{reason}}"]], { stack: true }),
      graph("Handshakes", "cps", "By result. Normal: accepted. See `RoomcastHandshakesFail` for what each of the others means.", [["sum by (result) (rate(roomcast_handshakes_total{}[$__rate_interval])) > 0", "{{result}}"]], { stack: true }),
    ]),
    row("What is said", [
      graph("Packets of clients", "cps", "By wire. Normal: as ever at this time of day. Much more: a client that repeats itself; rates by user and session bound it.", [["sum by (wire) (rate(roomcast_packets_received_total{}[$__rate_interval]))", "{{wire}}"]], { stack: true }),
      graph("Broadcasts and deliveries", "cps", "What is fanned out, and to how many it goes. Normal: both move together. Deliveries alone: rooms have grown.", [["sum(rate(roomcast_broadcasts_total{}[$__rate_interval]))", "broadcasts"], ["sum(rate(roomcast_deliveries_total{}[$__rate_interval]))", "deliveries"]]),
      graph("Members for each broadcast", "short", "Deliveries divided by broadcasts: how large the rooms are that are spoken in. Normal: it changes slowly. A jump: everybody is in one room.", [["sum(rate(roomcast_deliveries_total{}[$__rate_interval])) / sum(rate(roomcast_broadcasts_total{}[$__rate_interval]))", "members"]]),
      graph("Bytes", "Bps", "From and to clients. Normal: below the network of the machines. At its limit outboxes fill and slow consumers are cut.", [["sum(rate(roomcast_received_bytes_total{}[$__rate_interval]))", "received"], ["sum(rate(roomcast_sent_bytes_total{}[$__rate_interval]))", "sent"]]),
      graph("Events for each write", "short", "Deliveries divided by writes: how many events one call sends. Normal: 1 when idle; more under load, which is why load gets cheaper.", [["sum(rate(roomcast_deliveries_total{}[$__rate_interval])) / sum(rate(roomcast_writes_total{}[$__rate_interval]))", "events"]]),
      graph("Packets that are refused", "cps", "By code. Normal: few, through faults of clients. unavailable, internal: faults of ours (`RoomcastPacketErrors`). rate-limited: clients send too much.", [["sum by (code) (rate(roomcast_refusals_total{}[$__rate_interval])) > 0", "{{code}}"]], { stack: true }),
    ]),
    row("What becomes of it", [
      graph("Fan-out", "s", "From taking up a broadcast to its frames being in every outbox of the node. Normal: well below 1 ms. Above 150 ms see `RoomcastFanoutSlow`.", quantiles("roomcast_broadcast_duration_seconds_bucket{}"), { limits: [0.1, 0.15] }),
      graph("How late workers are", "s", "Of their looks at the clock. Normal: a millisecond. Above 200 ms see `RoomcastWorkerLag`.", quantiles("roomcast_worker_tick_lag_seconds_bucket{}"), { limits: [0.1, 0.2] }),
      graph("Events that did not arrive", "cps", "By reason. Normal: none, or those that a policy of a room asks for (conflated, oldest, volatile). Others: `RoomcastEventsDropped`.", [["sum by (reason) (rate(roomcast_drops_total{}[$__rate_interval])) > 0", "{{reason}}"]], { stack: true }),
      graph("Bytes that wait for clients", "bytes", "In outboxes. Normal: near 0 between bursts. If it stays high, clients read too slowly (`RoomcastSlowConsumers`).", [["roomcast_outbox_bytes{}", "{{instance}}"]]),
      graph("Bytes that wait between workers", "bytes", "In the fullest inbox. Normal: near 0. Near inbox-bytes (64 MiB) events are about to be dropped (`RoomcastEventsDropped`).", [["roomcast_inbox_bytes{}", "{{instance}}"]], { limits: [33554432, 60397977] }),
      graph("Events not acknowledged in time", "cps", "By clients who were asked to. Normal: few. Growth: clients hang, or ack-timeout is too short for their networks.", [["sum(rate(roomcast_acks_timed_out_total{}[$__rate_interval]))", "events"]]),
    ]),
    row("Who comes back", [
      graph("Sessions that come back", "cps", "By what became of it. Normal: restored. gap: they missed more than is kept (`RoomcastGapsGivenUp`).", [["sum by (result) (rate(roomcast_recoveries_total{}[$__rate_interval])) > 0", "{{result}}"]], { stack: true }),
      graph("Sessions that are away", "short", "And may come back. Normal: few. Near recovery-sessions they make room for each other.", [["roomcast_parked_sessions{}", "{{instance}}"]]),
      graph("Kept for them", "bytes", "Events of the rooms of sessions that are away. Normal: below recovery-bytes. At it, who is away for longer misses events.", [["roomcast_recovery_log_bytes{}", "{{instance}}"]]),
    ]),
    row("Who is kept out", [
      graph("Limits that are hit", "cps", "By limit. Normal: none, or strangers (`RoomcastAbuse`). sockets, rooms, http-connections: the node is full (`RoomcastLimitsHit`).", [["sum by (limit) (rate(roomcast_limit_hits_total{}[$__rate_interval])) > 0", "{{limit}}"]], { stack: true }),
      graph("Tokens that are refused", "cps", "By reason. Normal: some that expired. Others: `RoomcastTokensRefused`; no-keys: `RoomcastNoKeys`.", [["sum by (reason) (rate(roomcast_tokens_refused_total{}[$__rate_interval])) > 0", "{{reason}}"]], { stack: true }),
      graph("Certificate", "s", "For how long it is valid. Normal: more than two weeks (`RoomcastCertificateExpiry`). Nothing is shown without TLS.", [["(roomcast_tls_certificate_expiry_seconds{} > 0) - time()", "{{instance}}"]], { limits: [1209600], lessIsWorse: true }),
    ]),
  ],
};
