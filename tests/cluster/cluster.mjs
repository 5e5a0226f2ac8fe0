// The nodes that scenarios run on, and the clients that live as long as they.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { emitter } from "./emit.mjs";
import { Member } from "./member.mjs";
import { Node, OFFICIAL, eventually } from "./processes.mjs";

let names = 0;

/** A name that no scenario has used. */
export const fresh = (what) => `${what}-${(names += 1)}`;

/** The address of Redis as roomcast has it, should it be a Cluster. */
function clusterUrl(urls) {
  if (!urls.includes(",")) return urls;
  const [first, ...rest] = urls.split(",").map((url) => new URL(url).host);
  return `redis-cluster://${first}${rest.map((host, n) => `${n === 0 ? "?" : "&"}node=${host}`).join("")}`;
}

export class Cluster {
  /** Starts the servers and puts two clients of `/` and one of `/custom` on each. */
  static async start(settings) {
    const cluster = new Cluster();
    Object.assign(cluster, { settings, nodes: [], members: [], others: [] });
    try {
      await cluster.form();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  async form() {
    const { redis, prefix, sharded, specific, requestsTimeout, parser, nodeServers, roomcastServers, roomcast } = this.settings;
    const options = { prefix, sharded: Number(sharded), specific: Number(specific), "requests-timeout": requestsTimeout, parser };
    for (let n = 1; n <= nodeServers + roomcastServers; n += 1) {
      const [kind, command, url] = n <= nodeServers ? ["node", OFFICIAL, redis] : ["roomcast", [roomcast], clusterUrl(redis)];
      this.nodes.push(await Node.start(`${kind}-${n}`, kind, command, { ...options, ...(redis !== "none" && { redis: url }) }));
    }
    for (const node of this.nodes) {
      this.members.push(await this.client(node), await this.client(node));
      this.others.push(await this.client(node, "/custom"));
    }
    await this.isWhole();
  }

  client(node, namespace) {
    return Member.connect(node, { namespace, parser: this.settings.parser });
  }

  /** Waits until every node counts all nodes, in each namespace. */
  async isWhole() {
    for (const member of [...this.members, ...this.others]) {
      await eventually(`${member.node.name} to count ${this.nodes.length} nodes`, async () => {
        return (await member.ask("server-count")).n === this.nodes.length;
      });
    }
  }

  /** The first client on each node. */
  get firsts() {
    return this.members.filter((_, n) => n % 2 === 0);
  }

  /** Kills a node; its clients go with it. */
  async lose(node) {
    await node.kill();
    const stays = (member) => member.node !== node;
    [...this.members, ...this.others].filter((member) => !stays(member)).forEach((member) => member.close());
    this.nodes = this.nodes.filter((other) => other !== node);
    this.members = this.members.filter(stays);
    this.others = this.others.filter(stays);
  }

  /** Says something in a room on every node; whether all its members hear all of it within a second. */
  async reaches(room) {
    const event = fresh("probe");
    for (const { node } of this.firsts) await this.on(node)[0].ask("cast", { rooms: room, event, self: true });
    for (const deadline = Date.now() + 1_000; Date.now() < deadline; await sleep(10)) {
      if (this.members.every((member) => member.of(event).length === this.nodes.length)) return true;
    }
    return false;
  }

  /** A node's two clients. */
  on(node) {
    return this.members.filter((member) => member.node === node);
  }

  /** Has clients join a room, which is in force in the whole cluster when this resolves. */
  async join(members, room) {
    await Promise.all(members.map((member) => member.ask("join", room)));
    await this.hasSettled(members, [room]);
  }

  /**
   * Waits until clients hear in rooms what any node says there. Official nodes with sharded Pub/Sub answer a join before
   * they have subscribed; nobody else has to be waited for.
   */
  async hasSettled(members, rooms) {
    if (!this.settings.sharded) return;
    for (const room of rooms) {
      for (const { node } of this.members.filter((_, n) => n % 2 === 0)) {
        const probe = fresh("probe");
        const speaker = this.on(node)[0];
        await eventually(`${room} to settle`, async () => {
          await speaker.ask("cast", { rooms: room, event: probe, self: true });
          return members.every((member) => member.of(probe).length > 0);
        });
      }
    }
  }

  /**
   * Checks what all clients have heard of an event, once it has come to whom it was meant for and everything that
   * `origins` said before has arrived: those in `members` heard exactly `expected`, all others nothing.
   */
  async heard(event, members, expected, origins = this.firsts) {
    await Promise.all(members.map((member) => member.hearing(event, expected.length)));
    await this.quiet(origins);
    for (const member of [...this.members, ...this.others]) {
      const heard = member.of(event).map(([, ...args]) => args);
      const who = `${event} at a client ${this.members.indexOf(member)} of ${member.node.name}`;
      assert.deepEqual(heard, members.includes(member) ? expected : [], who);
    }
  }

  /** Checks that nobody heard a numbered event twice, nor out of order where there is one. */
  async hasAtMostOnce(event) {
    await this.quiet();
    for (const member of this.members) {
      const numbers = member.of(event).map(([, number]) => number);
      const once = [...new Set(numbers)];
      assert.deepEqual(numbers, this.settings.ordered ? once.sort((a, b) => a - b) : once, member.node.name);
    }
  }

  /** Resolves when everything that was said has arrived: an event to everybody overtakes nothing on one connection to Redis. */
  async quiet(origins = this.firsts) {
    for (const origin of origins) {
      const fence = fresh("fence");
      await origin.ask("cast", { event: fence, self: true });
      await Promise.all(this.members.map((member) => member.hearing(fence)));
    }
  }

  /** An emitter of its own. */
  emitter(namespace) {
    return emitter(this.settings.redis, this.settings.prefix, namespace);
  }

  async stop() {
    [...this.members, ...this.others].forEach((member) => member.close());
    await Promise.all(this.nodes.map((node) => node.kill()));
  }
}
