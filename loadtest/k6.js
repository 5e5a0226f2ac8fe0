// Users who come by Socket.IO, join a room, say hello in it, hear it, and go; and probes that ask for health by HTTP.
//
//   k6 run loadtest/k6.js                                        20 arrivals a second for five minutes against localhost:3000
//   k6 run -e TARGET=localhost:4001 -e TOKEN=… loadtest/k6.js    another server
//   k6 run -e SMOKE=1 loadtest/k6.js                             the same for 10 seconds
//
// k6 has no Socket.IO: this speaks the few packets that are needed (Engine.IO 4 over WebSocket). Its users are JavaScript, so
// thousands of them need a machine of their own; for that, and for room latency, there is roomcast-loadtest.
import http from "k6/http";
import { WebSocket } from "k6/websockets";
import { check, sleep } from "k6";
import { Counter, Rate, Trend } from "k6/metrics";

const TARGET = __ENV.TARGET || "localhost:3000";
const SECONDS = __ENV.SMOKE ? 10 : 300;
const ROOMS = 1000;
// How long somebody stays in a room before they speak, and how long they wait for what they said.
const THINK_MS = 2000;
const PATIENCE_MS = 5000;

const heard = new Trend("heard_after", true);
const visits = new Rate("visits_complete");
const refusals = new Counter("refusals");

export const options = {
    scenarios: {
        rooms: {
            executor: "constant-arrival-rate",
            exec: "visit",
            rate: 20,
            timeUnit: "1s",
            duration: `${SECONDS}s`,
            preAllocatedVUs: 60,
            maxVUs: 300,
            gracefulStop: "10s",
        },
        probes: {
            executor: "constant-vus",
            exec: "probe",
            vus: 1,
            duration: `${SECONDS}s`,
        },
    },
    thresholds: {
        visits_complete: ["rate==1"],
        heard_after: ["p(99)<500"],
        refusals: ["count==0"],
        checks: ["rate==1"],
        http_req_duration: ["p(95)<1000"],
        dropped_iterations: ["count==0"],
    },
};

export function visit() {
    const room = `room-${1 + Math.floor(Math.random() * ROOMS)}`;
    const text = `hello from ${__VU}-${__ITER}`;
    const socket = new WebSocket(`ws://${TARGET}/socket.io/?EIO=4&transport=websocket`);
    let saidAt = 0;
    let isComplete = false;
    const patience = setTimeout(() => socket.close(), THINK_MS + PATIENCE_MS);

    const say = () => {
        saidAt = Date.now();
        socket.send(`42${JSON.stringify(["message", { room, text }])}`);
    };
    const take = (packet) => {
        if (packet.startsWith("0")) {
            socket.send(`40${__ENV.TOKEN ? JSON.stringify({ token: __ENV.TOKEN }) : ""}`);
        } else if (packet === "2") {
            socket.send("3");
        } else if (packet.startsWith("40")) {
            socket.send(`421${JSON.stringify(["joinRoom", { room }])}`);
        } else if (packet.startsWith("431")) {
            const [answer] = JSON.parse(packet.slice(3));
            if (answer.error) return refuse(packet);
            setTimeout(say, THINK_MS);
        } else if (packet.startsWith("42") && packet.includes(text)) {
            heard.add(Date.now() - saidAt);
            isComplete = true;
            socket.send("41");
            socket.close();
        } else if (packet.startsWith("44") || packet.includes('"error"')) {
            refuse(packet);
        }
    };
    const refuse = (packet) => {
        refusals.add(1);
        console.error(`refused: ${packet}`);
        socket.close();
    };
    socket.onmessage = ({ data }) => take(data);
    socket.onclose = () => {
        clearTimeout(patience);
        visits.add(isComplete);
    };
}

export function probe() {
    const answer = http.get(`http://${TARGET}/livez`);
    check(answer, { "it is alive": ({ status }) => status === 200 });
    sleep(1);
}
