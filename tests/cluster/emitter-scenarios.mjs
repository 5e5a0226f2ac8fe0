// What backends do with the official Redis emitter.

import assert from "node:assert/strict";
import { fresh } from "./cluster.mjs";
import { eventually } from "./processes.mjs";

const BYTES = Buffer.from([0, 1, 0x1e, 0x7b, 254, 255]);

/** Runs with an emitter of `/`. */
async function withEmitter(cluster, use) {
  const emits = await cluster.emitter();
  try {
    await use(emits);
  } finally {
    await emits.close();
  }
}

export const emit = (cluster) =>
  withEmitter(cluster, async (emits) => {
    const args = ["grüße 😀", { n: 1.5, list: [null, true] }, BYTES];
    const [all, now] = [fresh("said"), fresh("said")];
    emits.emit({ event: all, args, compress: false });
    await cluster.heard(all, cluster.members, [args]);
    let said = 0;
    await eventually("everybody to have heard something volatile", () => {
      emits.emit({ event: now, args: [(said += 1)], volatile: true });
      return cluster.members.every((member) => member.of(now).length > 0);
    });
    await cluster.hasAtMostOnce(now);
  });

export const emitToRooms = (cluster) =>
  withEmitter(cluster, async (emits) => {
    const [room, muted] = [fresh("room/ä"), fresh("room")];
    await cluster.join(cluster.firsts, room);
    await cluster.join(cluster.firsts.slice(0, 1), muted);
    const [one, both, butOne, single] = [fresh("said"), fresh("said"), fresh("said"), fresh("said")];
    emits.emit({ rooms: room, event: one, args: [1] });
    emits.emit({ rooms: [room, muted], event: both });
    emits.emit({ rooms: room, except: muted, event: butOne });
    const last = cluster.members.at(-1);
    emits.emit({ rooms: last.id, event: single, args: [BYTES] });
    await cluster.heard(one, cluster.firsts, [[1]]);
    await cluster.heard(both, cluster.firsts, [[]]);
    await cluster.heard(butOne, cluster.firsts.slice(1), [[]]);
    await cluster.heard(single, [last], [[BYTES]]);
  });

export const emitToANamespace = async (cluster) => {
  const emits = await cluster.emitter("/custom");
  const event = fresh("said");
  emits.emit({ event, args: [1] });
  await emits.close();
  await Promise.all(cluster.others.map((member) => member.hearing(event)));
  await cluster.quiet();
  for (const member of cluster.others) assert.deepEqual(member.of(event), [[event, 1]]);
  for (const member of cluster.members) assert.deepEqual(member.of(event), []);
};

export const socketsJoinAndLeave = (cluster) =>
  withEmitter(cluster, async (emits) => {
    const [of, into] = [fresh("room"), fresh("room")];
    await cluster.join(cluster.firsts, of);
    const have = (members) =>
      eventually("the rooms to change", async () => {
        const rooms = await Promise.all(cluster.members.map((member) => member.ask("rooms")));
        return cluster.members.every((member, n) => rooms[n].includes(into) === members.includes(member));
      });
    emits["sockets-join"]({ in: of, rooms: into });
    await have(cluster.firsts);
    emits["sockets-leave"]({ in: of, rooms: [into] });
    await have([]);
    emits["sockets-join"]({ rooms: into });
    await have(cluster.members);
    emits["sockets-leave"]({ rooms: into });
    await have([]);
  });

export const disconnectSockets = (cluster) =>
  withEmitter(cluster, async (emits) => {
    const room = fresh("room");
    const victims = await Promise.all(cluster.nodes.map((node) => cluster.client(node)));
    const ends = victims.map(({ socket }) => new Promise((resolve) => socket.once("disconnect", resolve)));
    await cluster.join(victims, room);
    emits["sockets-disconnect"]({ in: room });
    for (const reason of await Promise.all(ends)) assert.equal(reason, "io server disconnect");
    for (const member of cluster.members) assert.ok(member.socket.connected);
    victims.forEach((victim) => victim.close());
  });

export const serverSideEmit = (cluster) =>
  withEmitter(cluster, async (emits) => {
    const mark = fresh("mark");
    emits["server-side-emit"]({ args: [mark, { n: 1 }] });
    const got = (member) => member.of("sse-got").filter(([, { args }]) => args[0] === mark);
    await eventually("all nodes to tell their clients", () => cluster.members.every((member) => got(member).length > 0));
    await cluster.quiet();
    for (const member of cluster.members) {
      assert.deepEqual(got(member), [["sse-got", { node: member.node.name, args: [mark, { n: 1 }] }]]);
    }
  });
