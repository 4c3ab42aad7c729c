import { randomUUID } from "node:crypto";

import WebSocket from "ws";

import { until } from "./until.js";

export const ZERO = { querySet: 0, identity: 0, ts: "AAAAAAAAAAA=" };

/** A raw sync connection: sends any frame, keeps all that arrives. */
export class Wire {
  static async open(hull, route = "/api/1.48.0/sync") {
    const wire = new Wire();
    wire.received = [];
    wire.closed = undefined;
    wire.sessionId = randomUUID();
    wire.socket = new WebSocket(hull.url.replace("http", "ws") + route);
    wire.socket.on("message", (data, isBinary) => {
      wire.received.push(isBinary ? { binary: data } : JSON.parse(data.toString()));
    });
    wire.socket.on("close", (code, reason) => {
      wire.closed = { code, reason: reason.toString() };
    });
    await new Promise((resolve, reject) => {
      wire.socket.once("open", resolve);
      wire.socket.once("error", reject);
    });
    // The server may cut the connection while a frame is being written.
    wire.socket.on("error", () => {});
    return wire;
  }

  send(message) {
    this.socket.send(typeof message === "string" || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }

  connect(extra = {}) {
    this.send({
      type: "Connect",
      sessionId: this.sessionId,
      connectionCount: 0,
      lastCloseReason: "InitialConnect",
      ...extra,
    });
  }

  /** Adds or removes queries, counting versions as the clients do. */
  modify(baseVersion, modifications) {
    this.send({ type: "ModifyQuerySet", baseVersion, newVersion: baseVersion + 1, modifications });
  }

  /** The first message received so far, or soon, that `matches`. */
  async next(what, matches, { timeoutMs = 10_000 } = {}) {
    return await until(
      `a message: ${what}; so far: ${JSON.stringify(this.received).slice(0, 2000)} ${JSON.stringify(this.closed) ?? ""}`,
      () => this.received.find(matches),
      { timeoutMs },
    );
  }

  async nextOfType(type) {
    return await this.next(type, (message) => message.type === type);
  }

  /** The close frame: its code (1005 when it carried none) and reason. */
  async end({ timeoutMs = 10_000 } = {}) {
    return await until("the server to close the connection", () => this.closed, { timeoutMs });
  }

  async close() {
    this.socket.terminate();
  }
}
