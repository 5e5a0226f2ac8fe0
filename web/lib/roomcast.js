// A client of the plain WebSocket door (`/ws`, JSON): joins rooms, comes back by itself, and says when it has been away.
// It knows nothing of this page; copy it where you need one.
//
//   const client = new Roomcast({ address: () => "wss://rooms.example/ws", token: () => token });
//   client.onstate = (state) => …;                       // { name, at, retryAt?, code?, reason? }
//   const leave = client.join("room-17", {
//     joined: (answer) => …,      // after every join, the first one and those after an absence: fetch what was missed
//     event: (name, data) => …,   // what is said from then on
//     refused: (error) => …,      // { code, detail }
//   });
//   await client.publish("room-17", "message", { text: "hello" });
//   client.start();

/** Close codes with which the server says that coming back would not help (docs/protocol.md, "When a session ends"). */
const FINAL = new Set([1000, 1002, 1003, 1007, 1008, 1009, 4401, 4403, 4409, 4429]);
const PAUSE_MIN_MS = 400;
const PAUSE_MAX_MS = 15_000;
/** How long an answer may take. */
const ANSWER_MS = 10_000;
/** After so long without a word the server is asked whether it is still there; a dead network closes no socket. */
const QUIET_MS = 12_000;
const QUIET_ANSWER_MS = 4_000;
/** A connection that lasted this long was a good one: the next pause is short again. */
const GOOD_MS = 5_000;

/** A request that was not obeyed; `code` as in docs/protocol.md. */
export class Refused extends Error {
  constructor({ code, detail }) {
    super(detail ?? code);
    this.code = code;
  }
}

export class Roomcast {
  /**
   * `address` and `token` are called before each attempt and may be asynchronous. `tokenInAddress` sends the token as
   * `?token=`, for servers that let everybody in, where a token says who one is.
   */
  constructor({ address, token = () => undefined, tokenInAddress = false }) {
    Object.assign(this, { address, token, tokenInAddress });
    this.onstate = () => {};
    this.onevent = () => {};
    this.rooms = new Map();
    this.waiting = new Map();
    this.lastId = 0;
    this.pause = PAUSE_MIN_MS;
    this.state = { name: "idle", at: Date.now() };
    this.probe = () => this.#probe();
    globalThis.addEventListener?.("offline", () => this.#offline());
    globalThis.addEventListener?.("online", () => this.retry());
    globalThis.document?.addEventListener("visibilitychange", () => {
      if (document.visibilityState !== "visible") return;
      if (this.state.name === "waiting") this.retry();
      else this.#probe();
    });
  }

  /** Connects, and stays connected. */
  start() {
    this.wanted = true;
    this.#connect();
  }

  /** Goes away. */
  stop() {
    this.wanted = false;
    this.#drop();
    this.#become("idle");
  }

  /** Tries again now, if it waits or has given up. */
  retry() {
    if (!this.wanted || this.state.name === "live" || this.state.name === "connecting") return;
    this.pause = PAUSE_MIN_MS;
    this.#connect();
  }

  /** Is in `room` from now on, after every reconnect too. Returns the way out. */
  join(room, { joined = () => {}, event = () => {}, refused = () => {} }) {
    const seat = { joined, event, refused };
    const seats = this.rooms.get(room) ?? new Set();
    this.rooms.set(room, seats.add(seat));
    if (this.state.name === "live") this.#enter(room, [seat]);
    return () => {
      seats.delete(seat);
      if (seats.size > 0 || this.rooms.get(room) !== seats) return;
      this.rooms.delete(room);
      if (this.state.name === "live") this.ask({ leave: room }).catch(() => {});
    };
  }

  publish(room, event, data) {
    return this.ask({ publish: room, event, data });
  }

  /** Who is in a room. */
  presence(room) {
    return this.ask({ presence: room, limit: 100 });
  }

  /** Shows a fresh token of the same user. */
  refresh(token) {
    return this.ask({ refresh: { token } });
  }

  /** Sends a packet and resolves to its answer. */
  ask(packet, patience = ANSWER_MS) {
    return new Promise((resolve, reject) => {
      if (this.socket?.readyState !== WebSocket.OPEN) {
        reject(new Refused({ code: "unavailable", detail: "not connected" }));
        return;
      }
      const id = ++this.lastId;
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new Refused({ code: "timeout", detail: "the server did not answer" }));
      }, patience);
      this.waiting.set(id, { resolve, reject, timer });
      this.socket.send(JSON.stringify({ id, ...packet }));
    });
  }

  async #connect() {
    clearTimeout(this.timer);
    this.#drop();
    const attempt = (this.attempt = Symbol("attempt"));
    this.#become("connecting");
    let address;
    let token;
    try {
      [address, token] = [await this.address(), await this.token()];
    } catch (error) {
      if (attempt === this.attempt) this.#closed({ code: error.final ? 4401 : 1006, reason: error.message });
      return;
    }
    if (attempt !== this.attempt || !this.wanted) return;
    const url = new URL(address);
    if (token && this.tokenInAddress) url.searchParams.set("token", token);
    const socket = (this.socket = new WebSocket(url));
    const giveUp = setTimeout(() => this.#lost(socket, "no answer"), ANSWER_MS);
    socket.onopen = () => {
      if (token && !this.tokenInAddress) socket.send(JSON.stringify({ connect: { token } }));
    };
    socket.onmessage = ({ data }) => {
      clearTimeout(giveUp);
      this.#hear(JSON.parse(data));
    };
    socket.onclose = (event) => {
      clearTimeout(giveUp);
      if (socket === this.socket) this.#closed(event);
    };
  }

  #hear(packet) {
    this.#listenOn();
    if (packet.hello) this.#welcome(packet.hello);
    else if (packet.id !== undefined) this.#answered(packet);
    else if (packet.event) this.#said(packet);
  }

  #welcome(hello) {
    this.hello = hello;
    this.liveSince = Date.now();
    this.#become("live");
    for (const [room, seats] of this.rooms) this.#enter(room, [...seats]);
  }

  #answered({ id, ok, error }) {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    this.waiting.delete(id);
    clearTimeout(waiting.timer);
    if (error) waiting.reject(new Refused(error));
    else waiting.resolve(ok);
  }

  #said({ room, rooms = [room], event, data }) {
    if (event === "server.draining") this.pause = Math.max(PAUSE_MIN_MS, data.reconnect_after_ms);
    if (room === undefined && rooms[0] === undefined) this.onevent(event, data);
    const told = new Set();
    for (const name of rooms) for (const seat of this.rooms.get(name) ?? []) told.add(seat);
    for (const seat of told) seat.event(event, data);
  }

  #enter(room, seats) {
    const socket = this.socket;
    this.ask({ join: room }).then(
      (answer) => seats.forEach((seat) => seat.joined(answer)),
      (error) => {
        // Whoever was too fast is let in later; a lost connection joins again by itself.
        if (socket !== this.socket || !this.rooms.has(room)) return;
        if (error.code === "rate-limited" || error.code === "unavailable") setTimeout(() => this.#enter(room, seats), 1_000);
        else if (error.code === "timeout") this.#lost(socket, "no answer");
        else seats.forEach((seat) => seat.refused(error));
      },
    );
  }

  #listenOn() {
    clearTimeout(this.quiet);
    this.quiet = setTimeout(this.probe, QUIET_MS);
  }

  /** Asks for something harmless; no answer means that nobody is there. */
  #probe() {
    const socket = this.socket;
    if (this.state.name !== "live" || socket?.readyState !== WebSocket.OPEN) return;
    const [room = ""] = this.rooms.keys();
    this.ask(room ? { join: room } : { leave: "-" }, QUIET_ANSWER_MS).catch((error) => {
      if (error.code === "timeout") this.#lost(socket, "no answer");
    });
  }

  #offline() {
    if (!this.wanted) return;
    clearTimeout(this.timer);
    this.#drop();
    this.#become("offline");
  }

  /** A socket that nobody answers on: it is not waited for. */
  #lost(socket, reason) {
    if (socket !== this.socket) return;
    this.#drop();
    this.#closed({ code: 1006, reason });
  }

  #drop() {
    this.attempt = undefined;
    const { socket } = this;
    this.socket = undefined;
    clearTimeout(this.quiet);
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    for (const { reject, timer } of this.waiting.values()) {
      clearTimeout(timer);
      reject(new Refused({ code: "unavailable", detail: "the connection was lost" }));
    }
    this.waiting.clear();
  }

  #closed({ code, reason }) {
    this.#drop();
    if (!this.wanted) return;
    if (FINAL.has(code)) {
      this.#become("ended", { code, reason });
      return;
    }
    if (globalThis.navigator?.onLine === false) {
      this.#become("offline");
      return;
    }
    if (this.liveSince && Date.now() - this.liveSince > GOOD_MS) this.pause = Math.min(this.pause, PAUSE_MIN_MS);
    this.liveSince = undefined;
    const wait = this.pause * (0.5 + Math.random());
    this.pause = Math.min(this.pause * 2, PAUSE_MAX_MS);
    this.#become("waiting", { code, reason, retryAt: Date.now() + wait });
    this.timer = setTimeout(() => this.#connect(), wait);
  }

  #become(name, more = {}) {
    this.state = { name, at: Date.now(), ...more };
    this.onstate(this.state);
  }
}
