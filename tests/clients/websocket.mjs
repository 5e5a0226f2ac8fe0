// Gives examples for browsers what a browser has and older versions of Node have not.

import WebSocket from "ws";

globalThis.WebSocket ??= WebSocket;
