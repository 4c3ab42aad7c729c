import { once } from "node:events";
import net from "node:net";

/** A TCP relay in front of the server that can hold answers back and cut lines. */
export class Proxy {
  static async start(targetPort) {
    const proxy = new Proxy();
    proxy.pairs = new Set();
    proxy.holding = false;
    proxy.connections = 0;
    proxy.server = net.createServer((client) => {
      proxy.connections += 1;
      const upstream = net.connect(targetPort, "127.0.0.1");
      const pair = { client, upstream, held: [] };
      proxy.pairs.add(pair);
      client.on("data", (data) => upstream.write(data));
      upstream.on("data", (data) => (proxy.holding ? pair.held.push(data) : client.write(data)));
      const end = () => {
        client.destroy();
        upstream.destroy();
        proxy.pairs.delete(pair);
      };
      for (const socket of [client, upstream]) socket.on("close", end).on("error", end);
    });
    proxy.server.listen(0, "127.0.0.1");
    await once(proxy.server, "listening");
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  /** From now on nothing that the server says gets through. */
  hold() {
    this.holding = true;
  }

  /** Cuts every connection, what was held back with it; new ones flow freely. */
  cut() {
    this.holding = false;
    for (const { client, upstream } of this.pairs) {
      client.destroy();
      upstream.destroy();
    }
  }

  async close() {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
