// Every kind of stock Socket.IO client: what it says to `io`, and the transport that it ends up with.

import msgpackParser from "socket.io-msgpack-parser";

const TRANSPORTS = [
  { transports: ["polling"], ends: "polling" },
  { transports: ["websocket"], ends: "websocket" },
  { transports: ["polling", "websocket"], ends: "websocket" },
];

export const KINDS = TRANSPORTS.flatMap(({ transports, ends }) => [
  { name: `${transports.join(" then ")}, default parser`, ends, options: { transports } },
  { name: `${transports.join(" then ")}, MessagePack parser`, ends, options: { transports, parser: msgpackParser } },
]);
