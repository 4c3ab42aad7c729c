// Timers exist only in actions. Elsewhere starting one is an unhandled rejection on purpose: it ends the function, and
// `try { setTimeout(…) } catch` does not hide it.

const { shared } = native;
let lastId = 0;

function start(name, callback) {
  if (typeof callback === "string") shared.notImplemented("string callback", name);
  (async () => {
    shared.onlyInActions(name);
    throw shared.notBuilt(`${name} in actions`);
  })();
  return ++lastId;
}

shared.global("setTimeout", function setTimeout(callback) {
  return start("setTimeout", callback);
});
shared.global("setInterval", function setInterval(callback) {
  return start("setInterval", callback);
});
shared.global("clearTimeout", function clearTimeout() {});
shared.global("clearInterval", function clearInterval() {});
