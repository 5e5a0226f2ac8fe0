// The way between browsers and a server, which can be cut. The address stays when the server behind it changes.

import { createConnection, createServer } from "node:net";
import { once } from "node:events";

export class Network {
  static async to(server) {
    const network = new Network();
    network.server = server;
    network.ways = new Set();
    network.listener = createServer((near) => network.#connect(near)).listen(0, "127.0.0.1");
    await once(network.listener, "listening");
    network.url = `http://localhost:${network.listener.address().port}`;
    return network;
  }

  #connect(near) {
    if (this.isCut) {
      near.destroy();
      return;
    }
    const far = createConnection(this.server.port, "127.0.0.1");
    this.ways.add(near);
    near.on("error", () => far.destroy()).on("close", () => this.ways.delete(near) && far.destroy());
    far.on("error", () => near.destroy()).on("close", () => near.destroy());
    near.pipe(far).pipe(near);
  }

  /** Ends all connections, and lets none through. */
  cut() {
    this.isCut = true;
    for (const way of this.ways) way.destroy();
  }

  mend() {
    this.isCut = false;
  }

  stop() {
    this.cut();
    this.listener.close();
  }
}
