// Goal: official Socket.IO servers and roomcast servers make one cluster, in which nobody can tell who is what. Method: the
// contract application on each, a Redis of their own, and every scenario once from every node.
//
//     node run.mjs --node-servers 1 --roomcast-servers 2 --roomcast PATH [--sharded 1] [--specific 1] [--parser msgpack]

import { after, before, describe, test } from "node:test";
import { parseArgs } from "node:util";
import { Cluster, fresh } from "./cluster.mjs";
import * as emitterScenarios from "./emitter-scenarios.mjs";
import { eventually } from "./processes.mjs";
import { Redis, RedisCluster } from "./redis.mjs";
import * as scenarios from "./scenarios.mjs";

const { values } = parseArgs({
  options: {
    "node-servers": { type: "string", default: "3" },
    "roomcast-servers": { type: "string", default: "0" },
    roomcast: { type: "string", default: "roomcast-contract" },
    redis: { type: "string" },
    "redis-cluster": { type: "string", default: "0" },
    prefix: { type: "string", default: "socket.io" },
    sharded: { type: "string", default: "0" },
    specific: { type: "string", default: "0" },
    parser: { type: "string", default: "default" },
    "requests-timeout": { type: "string", default: "5000" },
    only: { type: "string" },
  },
});

const settings = {
  nodeServers: Number(values["node-servers"]),
  roomcastServers: Number(values["roomcast-servers"]),
  roomcast: values.roomcast,
  redis: values.redis,
  prefix: values.prefix,
  sharded: values.sharded === "1",
  specific: values.specific === "1",
  parser: values.parser,
  requestsTimeout: Number(values["requests-timeout"]),
};
const redisCluster = values["redis-cluster"] === "1";
// The client of official servers and emitters publishes by any node of a Redis Cluster.
settings.ordered = settings.sharded || !redisCluster;
const count = settings.nodeServers + settings.roomcastServers;
/** Whether there is a Redis between the nodes, and one that may be killed. */
const [connected, own] = [values.redis !== "none", values.redis === undefined];
const wanted = (name) => values.only === undefined || name === values.only;
const chosen = (all) => Object.entries(all).filter(([name]) => wanted(name));

describe(`${settings.nodeServers} official and ${settings.roomcastServers} roomcast servers`, () => {
  let redis;
  let cluster;

  before(async () => {
    if (own) {
      redis = await (redisCluster ? RedisCluster : Redis).start();
      settings.redis = redis.url;
    }
    cluster = await Cluster.start(settings);
  });

  after(async () => {
    await cluster?.stop();
    await redis?.stop();
  });

  for (const [name, scenario] of chosen(scenarios)) {
    for (let n = 0; n < count; n += 1) {
      test(`${name}, from ${n < settings.nodeServers ? "an official" : "a roomcast"} server, ${n + 1}`, { skip: name === "order" && !settings.ordered && n < settings.nodeServers }, () => scenario(cluster, cluster.nodes[n]));
    }
  }

  if (own && wanted("restart")) {
    // The client of official servers does not always subscribe again to the shard channels that it had lost.
    const skip = (redisCluster || settings.sharded) && settings.nodeServers > 0;
    test("nodes find each other again when Redis was restarted", { skip }, async () => {
      await redis.restart();
      await cluster.isWhole();
      await eventually("rooms to be heard again", async () => {
        const room = fresh("room");
        await Promise.all(cluster.members.map((member) => member.ask("join", room)));
        return cluster.reaches(room);
      });
      for (const node of cluster.nodes) await scenarios.room(cluster, node);
    });
  }

  // The emitter has no form for sharded Pub/Sub.
  for (const [name, scenario] of settings.sharded || !connected ? [] : chosen(emitterScenarios)) {
    test(`${name}, from the emitter`, () => scenario(cluster));
  }

  if (count > 1 && wanted("kill")) {
    test("nobody waits for a node that was killed", async () => {
      await cluster.lose(cluster.nodes[0]);
      await cluster.isWhole();
      for (const node of cluster.nodes) {
        await scenarios.callsDoNotTimeOut(cluster, node);
        await scenarios.fetch(cluster, node);
        await scenarios.room(cluster, node);
      }
    });
  }
});
