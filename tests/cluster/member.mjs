// A client on one node of the cluster, which keeps what it hears.

import { once } from "node:events";
import { io } from "socket.io-client";
import msgpackParser from "socket.io-msgpack-parser";
import { PATIENCE_MS, eventually } from "./processes.mjs";

export class Member {
  /** Connects to a node. */
  static async connect(node, { namespace = "/", parser } = {}) {
    const member = new Member();
    member.node = node;
    member.heard = [];
    member.answer = () => undefined;
    member.socket = io(node.url + namespace, { forceNew: true, reconnection: false, ...(parser === "msgpack" && { parser: msgpackParser }) });
    member.socket.onAny((event, ...args) => member.hears(event, args));
    const failed = once(member.socket, "connect_error").then(([error]) => Promise.reject(error));
    await Promise.race([once(member.socket, "connect"), failed]);
    failed.catch(() => {});
    return member;
  }

  get id() {
    return this.socket.id;
  }

  hears(event, args) {
    if (typeof args.at(-1) === "function") {
      const ack = args.pop();
      const answer = this.answer(event, args);
      if (answer !== undefined) ack(answer);
    }
    this.heard.push([event, ...args]);
  }

  /** What it heard of these events so far, in order. */
  of(...events) {
    return this.heard.filter(([event]) => events.includes(event));
  }

  /** Asks its node; fails when the answer is an error. */
  async ask(event, ...args) {
    const answer = await this.socket.timeout(PATIENCE_MS).emitWithAck(event, ...args);
    if (answer?.err) throw new Error(`${event} on ${this.node.name}: ${answer.err}`);
    return answer;
  }

  /** Resolves when it has heard an event. */
  async hearing(event, count = 1) {
    await eventually(`${event} at a client of ${this.node.name}`, () => this.of(event).length >= count);
  }

  close() {
    this.socket.disconnect();
  }
}
