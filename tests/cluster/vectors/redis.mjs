// A Redis inside one process, with as much of the client's interface as the adapters use. It keeps what is published.
import { EventEmitter } from "node:events";

export class Redis {
  #listeners = [];
  published = [];

  publish(channel, payload) {
    payload = Buffer.from(payload);
    this.published.push({ channel, payload });
    // Later, as from a network: a node has to have noted what it asked before it hears itself.
    setImmediate(() => this.#listeners.filter((l) => l.matches(channel)).forEach((l) => l.heard(payload, channel)));
  }

  listen(matches, heard) {
    this.#listeners.push({ matches, heard });
  }

  client() {
    const redis = this;
    const subscribe = async (channels, heard) => {
      const names = [channels].flat();
      redis.listen((channel) => names.includes(channel), heard);
    };
    return Object.assign(new EventEmitter(), {
      pSubscribe: async (pattern, heard) => redis.listen((channel) => channel.startsWith(pattern.slice(0, -1)), heard),
      subscribe,
      sSubscribe: subscribe,
      publish: async (channel, payload) => redis.publish(channel, payload),
      sPublish: async (channel, payload) => redis.publish(channel, payload),
      sendCommand: async ([, , channel]) => [channel, String(redis.#listeners.filter((l) => l.matches(channel)).length)],
    });
  }
}
