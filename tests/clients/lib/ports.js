import net from "node:net";

/**
 * A port on loopback that is free now and below the range from which the
 * kernel hands out ports to outgoing connections. Otherwise a client that
 * reconnects to a stopped server could take the server's own port.
 */
export async function freePort() {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = 12_000 + Math.floor(Math.random() * 18_000);
    if (await isFree(port)) return port;
  }
  throw new Error("no free port found in 100 tries");
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
