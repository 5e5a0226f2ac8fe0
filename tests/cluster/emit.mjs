// The official Redis emitter, as backends use it that are no Socket.IO servers:
//
//     node emit.mjs --redis redis://127.0.0.1:6379 emit '{"rooms":["news"],"event":"note","args":[1]}'

import { parseArgs } from "node:util";
import { Emitter } from "@socket.io/redis-emitter";
import { connect } from "./redis.mjs";

const listed = (names) => (names === undefined ? [] : [names].flat());

function whom(emitter, { rooms, except, volatile, compress }) {
  let operator = emitter;
  if (listed(rooms).length > 0) operator = operator.to(listed(rooms));
  if (listed(except).length > 0) operator = operator.except(listed(except));
  if (volatile) operator = operator.volatile;
  if (compress !== undefined) operator = operator.compress(compress);
  return operator;
}

/** Every operation of the emitter: what it does with a request. */
export const OPERATIONS = {
  emit: (emitter, request) => whom(emitter, request).emit(request.event, ...(request.args ?? [])),
  "sockets-join": (emitter, request) => whom(emitter, { rooms: request.in }).socketsJoin(listed(request.rooms)),
  "sockets-leave": (emitter, request) => whom(emitter, { rooms: request.in }).socketsLeave(listed(request.rooms)),
  "sockets-disconnect": (emitter, request) => whom(emitter, { rooms: request.in }).disconnectSockets(request.close === true),
  "server-side-emit": (emitter, request) => emitter.serverSideEmit("sse-test", ...(request.args ?? [])),
};

/** An emitter, with operations named as above, and `close`. */
export async function emitter(redis, prefix, namespace = "/") {
  const client = await connect(redis);
  // The emitter does not say when it has published.
  const published = [];
  const publish = (channel, text) => published.push(client.publish(channel, text));
  const emits = new Emitter({ publish }, { key: prefix }, namespace);
  const bound = Object.entries(OPERATIONS).map(([name, operate]) => [name, (request) => operate(emits, request)]);
  return { ...Object.fromEntries(bound), close: () => Promise.all(published).then(() => client.quit()) };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const options = { redis: { type: "string" }, prefix: { type: "string", default: "socket.io" }, nsp: { type: "string", default: "/" } };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [operation, request = "{}"] = positionals;
  if (!(operation in OPERATIONS)) {
    console.error(`which operation? ${Object.keys(OPERATIONS).join(", ")}`);
    process.exit(2);
  }
  const emits = await emitter(values.redis, values.prefix, values.nsp);
  emits[operation](JSON.parse(request));
  await emits.close();
}
