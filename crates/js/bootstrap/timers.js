// Timers exist only in actions. Elsewhere starting one is an unhandled rejection on purpose: it ends the function, and
// `try { setTimeout(…) } catch` does not hide it.

const { shared } = native;

/** Running timers: what stops each. */
const timers = new Map();
let lastId = 0;

function start(name, callback, delay, args, repeats) {
  if (typeof callback === "string") shared.notImplemented("string callback", name);
  if (typeof callback !== "function") throw new TypeError(`${name}: callback is not a function`);
  const id = ++lastId;
  // Whatever the timer throws, and the refusal outside of actions, is a rejection that nobody handles.
  (async () => shared.onlyInActions(name))().then(() => {}, (error) => Promise.reject(error));
  if (native.phase() !== "action" && native.phase() !== "httpAction") return id;
  const milliseconds = Math.max(0, Math.floor(Number(delay)) || 0);
  const run = shared.inCurrentContext(callback);
  const wait = () => {
    const op = native.startOp("sleep", fire, fire, milliseconds);
    timers.set(id, op);
  };
  const fire = () => {
    if (!timers.has(id)) return;
    if (repeats) wait();
    else timers.delete(id);
    Promise.resolve().then(() => run(undefined, args));
  };
  wait();
  return id;
}

function stop(id) {
  const op = timers.get(id);
  if (op === undefined) return;
  timers.delete(id);
  native.cancelOp(op);
}

shared.global("setTimeout", function setTimeout(callback, delay = 0, ...args) {
  return start("setTimeout", callback, delay, args, false);
});
shared.global("setInterval", function setInterval(callback, delay = 0, ...args) {
  return start("setInterval", callback, delay, args, true);
});
shared.global("clearTimeout", function clearTimeout(id = undefined) {
  stop(id);
});
shared.global("clearInterval", function clearInterval(id = undefined) {
  stop(id);
});
