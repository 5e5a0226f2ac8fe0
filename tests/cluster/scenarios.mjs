// What a cluster does for its clients, whoever its nodes are. Each scenario gets the cluster and the node where everything
// begins; the other nodes have to see it.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { fresh } from "./cluster.mjs";
import { eventually } from "./processes.mjs";

const BYTES = Buffer.from([0, 1, 0x1e, 0x7b, 254, 255]);
/** What has to arrive as it was said. */
const ARGUMENTS = [
  [],
  ["text, grüße, てすと, 😀\u2028"],
  [1, -1, 1.5, 2 ** 40, true, false, null, "", [], {}],
  [{ deep: [{ er: { and: ["deeper", { n: 0 }] } }] }],
  [BYTES],
  [{ named: BYTES, list: [BYTES, "x", { more: BYTES }] }, "after"],
  ["x".repeat(200_000)],
  [Buffer.alloc(100_000, 7)],
];

const sorted = (list) => [...list].sort();
const ids = (members) => sorted(members.map(({ id }) => id));

/** Room names that have stumbled somewhere. */
const NAMES = ["plain", "with space", "a#b#", "a*b?[c]", "räume/✓/😀", "x".repeat(20), "x".repeat(200), "{tag}"];

// === who hears what ===

export async function everybody(cluster, node) {
  const [speaker, neighbour] = cluster.on(node);
  const rest = cluster.members.filter((member) => member !== speaker);
  for (const args of ARGUMENTS) {
    const [event, all] = [fresh("said"), fresh("said")];
    await speaker.ask("cast", { event, args });
    await speaker.ask("cast", { event: all, args, self: true });
    await cluster.heard(event, rest, [args], [neighbour]);
    await cluster.heard(all, cluster.members, [args], [neighbour]);
  }
}

export async function namespaces(cluster, node) {
  const speaker = cluster.others.find((member) => member.node === node);
  const room = fresh("room");
  await Promise.all(cluster.members.map((member) => member.ask("join", room)));
  const event = fresh("said");
  await speaker.ask("cast", { event, self: true });
  await speaker.ask("cast", { rooms: room, event });
  await Promise.all(cluster.others.map((member) => member.hearing(event)));
  await cluster.quiet();
  for (const member of cluster.others) assert.equal(member.of(event).length, 1);
  for (const member of cluster.members) assert.deepEqual(member.of(event), []);
}

export async function room(cluster, node) {
  const [speaker, neighbour] = cluster.on(node);
  for (const name of NAMES) {
    const room = fresh(name);
    const members = cluster.firsts;
    await cluster.join(members, room);
    const [inside, outside] = [fresh("said"), fresh("said")];
    await speaker.ask("cast", { rooms: room, event: inside, args: [room, BYTES] });
    await neighbour.ask("cast", { rooms: [room], event: outside, args: [room] });
    await cluster.heard(inside, members.filter((member) => member !== speaker), [[room, BYTES]]);
    await cluster.heard(outside, members, [[room]]);
  }
}

export async function severalRooms(cluster, node) {
  const [speaker] = cluster.on(node);
  const [one, two] = [fresh("room"), fresh("room")];
  await cluster.join(cluster.firsts, one);
  await cluster.join(cluster.on(node), two);
  const event = fresh("said");
  await speaker.ask("cast", { rooms: [one, two, fresh("nobody")], event, args: [1], self: true });
  // Whoever is in both hears it once.
  await cluster.heard(event, [...new Set([...cluster.firsts, ...cluster.on(node)])], [[1]]);
}

export async function except(cluster, node) {
  const [speaker] = cluster.on(node);
  const [room, muted] = [fresh("room"), fresh("room")];
  await cluster.join(cluster.members, room);
  const silent = cluster.members.filter((_, n) => n % 3 === 1);
  await cluster.join(silent, muted);
  const loud = cluster.members.filter((member) => !silent.includes(member));
  const [inRoom, everywhere] = [fresh("said"), fresh("said")];
  await speaker.ask("cast", { rooms: room, except: [muted], event: inRoom, self: true });
  await speaker.ask("cast", { except: muted, event: everywhere, self: true });
  await cluster.heard(inRoom, loud, [[]]);
  await cluster.heard(everywhere, loud, [[]]);
}

export async function local(cluster, node) {
  const [speaker, neighbour] = cluster.on(node);
  const [here, all] = [fresh("said"), fresh("said")];
  await speaker.ask("cast", { event: here, local: true });
  await speaker.ask("cast", { event: all, local: true, self: true });
  await cluster.heard(here, [neighbour], [[]]);
  await cluster.heard(all, [speaker, neighbour], [[]]);
}

/** What is volatile may be lost where a connection is busy; it does not come twice, nor late. */
export async function volatile(cluster, node) {
  const [speaker] = cluster.on(node);
  const room = fresh("room");
  await cluster.join(cluster.members, room);
  const event = fresh("said");
  let said = 0;
  await eventually("everybody to have heard something volatile", async () => {
    await speaker.ask("cast", { rooms: room, event, args: [(said += 1)], volatile: true, self: true });
    return cluster.members.every((member) => member.of(event).length > 0);
  });
  await cluster.hasAtMostOnce(event);
}

export async function oneClient(cluster, node) {
  const [speaker] = cluster.on(node);
  for (const member of cluster.members.filter((member) => member !== speaker)) {
    const event = fresh("said");
    await speaker.ask("cast", { rooms: member.id, event, args: [BYTES] });
    await cluster.heard(event, [member], [[BYTES]], cluster.on(node).slice(0, 1));
  }
}

export async function order(cluster, node) {
  const [speaker] = cluster.on(node);
  const room = fresh("room");
  await cluster.join(cluster.members, room);
  const event = fresh("said");
  const said = Array.from({ length: 300 }, (_, n) => [n]);
  await Promise.all(said.map(([n]) => speaker.ask("cast", { rooms: room, event, args: [n], self: true })));
  await cluster.heard(event, cluster.members, said);
}

export async function leaving(cluster, node) {
  const [speaker] = cluster.on(node);
  const room = fresh("room");
  await cluster.join(cluster.members, room);
  const gone = cluster.firsts;
  await Promise.all(gone.map((member) => member.ask("leave", [room])));
  const event = fresh("said");
  await speaker.ask("cast", { rooms: room, event, self: true });
  await cluster.heard(event, cluster.members.filter((member) => !gone.includes(member)), [[]]);
  for (const member of gone) assert.ok(!(await member.ask("rooms")).includes(room));
}

// === who is there ===

export async function whoami(cluster, node) {
  for (const member of cluster.on(node)) {
    const { id, node: name, nsp, recovered } = await member.ask("whoami");
    assert.deepEqual({ id, name, nsp, recovered }, { id: member.id, name: node.name, nsp: "/", recovered: false });
    const rooms = sorted([fresh("b"), fresh("a"), fresh("ä")]);
    await member.ask("join", rooms);
    await member.ask("join", rooms[0]);
    const had = (await member.ask("rooms")).filter((room) => rooms.includes(room));
    assert.deepEqual(had, rooms);
  }
}

export async function serverCount(cluster, node) {
  for (const member of cluster.on(node)) assert.equal((await member.ask("server-count")).n, cluster.nodes.length);
}

export async function fetch(cluster, node) {
  const [speaker] = cluster.on(node);
  const everybody = await speaker.ask("fetch", {});
  assert.deepEqual(sorted(everybody.ids), ids(cluster.members));
  const room = fresh("room");
  await cluster.join(cluster.firsts, room);
  const inside = await speaker.ask("fetch", { rooms: [room] });
  assert.deepEqual(sorted(inside.ids), ids(cluster.firsts));
  for (const { id } of cluster.firsts) assert.ok(inside.rooms[id].includes(room), `${id} is in ${inside.rooms[id]}`);
  assert.deepEqual((await speaker.ask("fetch", { rooms: fresh("nobody") })).ids, []);
  const here = await speaker.ask("fetch", { local: true });
  assert.deepEqual(sorted(here.ids), ids(cluster.on(node)));
}

/** Many calls at once are told apart. */
export async function manyFetches(cluster, node) {
  const rooms = await Promise.all(
    cluster.members.map(async (member) => {
      const room = fresh("room");
      await cluster.join([member], room);
      return { room, member };
    }),
  );
  const [speaker] = cluster.on(node);
  const asked = [...rooms, ...rooms, ...rooms];
  const found = await Promise.all(asked.map(({ room }) => speaker.ask("fetch", { rooms: room })));
  assert.deepEqual(found.map(({ ids }) => ids), asked.map(({ member }) => [member.id]));
}

// === what is done to all ===

export async function socketsJoinAndLeave(cluster, node) {
  const [speaker] = cluster.on(node);
  const [of, into] = [fresh("room"), [fresh("room"), fresh("room")]];
  await cluster.join(cluster.firsts, of);
  const have = (members) =>
    eventually("the rooms to change", async () => {
      const rooms = await Promise.all(cluster.members.map((member) => member.ask("rooms")));
      return cluster.members.every((member, n) => into.every((room) => rooms[n].includes(room) === members.includes(member)));
    });
  await speaker.ask("sockets-join", { in: of, rooms: into });
  await have(cluster.firsts);
  await cluster.hasSettled(cluster.firsts, into);
  const event = fresh("said");
  await speaker.ask("cast", { rooms: into, event, self: true });
  await cluster.heard(event, cluster.firsts, [[]]);
  await speaker.ask("sockets-leave", { in: of, rooms: into[0] });
  await speaker.ask("sockets-leave", { in: [of], rooms: [into[1]] });
  await have([]);
  await speaker.ask("sockets-join", { rooms: into });
  await have(cluster.members);
  await speaker.ask("sockets-leave", { rooms: into });
  await have([]);
}

export async function disconnectSockets(cluster, node) {
  for (const close of [false, true]) {
    const room = fresh("room");
    const victims = await Promise.all(cluster.nodes.map((node) => cluster.client(node)));
    const reasons = victims.map(({ socket }) => new Promise((resolve) => socket.once("disconnect", resolve)));
    await cluster.join(victims, room);
    await cluster.on(node)[0].ask("sockets-disconnect", { in: room, close });
    const reason = await Promise.all(reasons);
    // Official nodes that close say DISCONNECT first, or just close: the client is not to come back either way.
    for (const why of reason) assert.ok(["io server disconnect", ...(close ? ["transport close"] : [])].includes(why), why);
    await eventually("the clients to be gone", async () => {
      const { ids } = await cluster.on(node)[0].ask("fetch", {});
      return ids.length === cluster.members.length;
    });
    victims.forEach((victim) => victim.close());
  }
  for (const member of cluster.members) assert.ok(member.socket.connected);
}

// === questions ===

export async function castAck(cluster, node) {
  const [speaker] = cluster.on(node);
  const [room, question] = [fresh("room"), fresh("question")];
  await cluster.join(cluster.firsts, room);
  for (const [answer, expected] of [
    [(member) => member.node.name, (member) => member.node.name],
    [(member) => ({ from: member.node.name, bytes: BYTES }), (member) => ({ from: member.node.name, bytes: BYTES })],
  ]) {
    for (const member of cluster.members) member.answer = () => answer(member);
    const answers = (await speaker.ask("cast-ack", { rooms: room, event: question, args: [BYTES], timeout: 5_000 })).answers;
    const key = (value) => value.from ?? value;
    const inOrder = (list) => [...list].sort((a, b) => (key(a) < key(b) ? -1 : 1));
    assert.deepEqual(inOrder(answers), inOrder(cluster.firsts.map(expected)));
  }
  await cluster.heard(question, cluster.firsts, [[BYTES], [BYTES]]);
  const everybody = await speaker.ask("cast-ack", { event: fresh("question"), timeout: 5_000 });
  assert.equal(everybody.answers.length, cluster.members.length);
  const nobody = await speaker.ask("cast-ack", { rooms: fresh("nobody"), event: fresh("question"), timeout: 400 });
  assert.deepEqual(nobody, { err: null, answers: [] });
}

/** Whoever stays silent costs the others' answers nothing. */
export async function castAckWithSilence(cluster, node) {
  const [speaker] = cluster.on(node);
  for (const member of cluster.members) member.answer = () => member.node.name;
  cluster.members.at(-1).answer = () => undefined;
  const request = { event: fresh("question"), timeout: 500 };
  const { err, answers } = await speaker.socket.emitWithAck("cast-ack", request);
  assert.equal(err, "operation has timed out");
  assert.deepEqual(sorted(answers), sorted(cluster.members.slice(0, -1).map((member) => member.node.name)));
}

export async function serverSideEmit(cluster, node) {
  const [speaker] = cluster.on(node);
  const others = cluster.nodes.filter((other) => other !== node);
  for (const wantsAck of [false, true]) {
    const mark = fresh("mark");
    const { answers } = await speaker.ask("server-side-emit", [mark, { n: 1 }, null], wantsAck);
    if (wantsAck) assert.deepEqual(sorted(answers.map((answer) => answer.node)), sorted(others.map(({ name }) => name)));
    const got = (member) => member.of("sse-got").filter(([, { args }]) => args[0] === mark);
    const there = cluster.members.filter((member) => member.node !== node);
    await eventually("the other nodes to tell their clients", () => there.every((member) => got(member).length > 0));
    await cluster.quiet();
    for (const member of cluster.members) {
      const expected = member.node === node ? [] : [["sse-got", { node: member.node.name, args: [mark, { n: 1 }, null] }]];
      assert.deepEqual(got(member), expected, member.node.name);
    }
  }
}

/** Calls are answered, and long before the time in which a node gives up on others. */
export async function callsDoNotTimeOut(cluster, node) {
  const [speaker] = cluster.on(node);
  const limit = cluster.settings.requestsTimeout / 2;
  for (const member of cluster.members) member.answer = () => 1;
  const calls = [
    ["fetch", {}],
    ["server-side-emit", [fresh("mark")], true],
    ["server-count"],
    ["cast-ack", { event: fresh("question"), timeout: cluster.settings.requestsTimeout }],
  ];
  for (let round = 0; round < 5; round += 1) {
    for (const [event, ...args] of calls) {
      const began = performance.now();
      await speaker.ask(event, ...args);
      const took = performance.now() - began;
      assert.ok(took < limit, `${event} on ${node.name} took ${took} ms`);
      await sleep(1);
    }
  }
}
