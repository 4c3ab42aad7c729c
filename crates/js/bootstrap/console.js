// console: five levels, trace and timers; no other method exists, as in the original.

const { shared } = native;
const { inspect } = shared;

const log = (level, values) => native.log(level, values.map(inspect));

const timers = new Map();

const elapsed = (label) => `${label}: ${Math.floor(native.realNow() - timers.get(label))}ms`;

function withTimer(label, report) {
  label = String(label);
  if (timers.has(label)) report(label);
  else native.log("WARN", [`Timer '${label}' does not exist`]);
}

const console = Object.create({}, { [Symbol.toStringTag]: { value: "console", configurable: true } });

Object.assign(console, {
  debug(...values) {
    log("DEBUG", values);
  },
  error(...values) {
    log("ERROR", values);
  },
  info(...values) {
    log("INFO", values);
  },
  log(...values) {
    log("LOG", values);
  },
  warn(...values) {
    log("WARN", values);
  },
  trace(...values) {
    const error = new Error();
    // The frame of `trace` itself says nothing.
    if (Error.captureStackTrace) Error.captureStackTrace(error, console.trace);
    native.log("LOG", [...values.map(inspect), native.frames(error)]);
  },
  time(label = "default") {
    label = String(label);
    if (timers.has(label)) native.log("WARN", [`Timer '${label}' already exists`]);
    else timers.set(label, native.realNow());
  },
  timeLog(label = "default", ...values) {
    withTimer(label, (name) => native.log("INFO", [elapsed(name), ...values.map(inspect)]));
  },
  timeEnd(label = "default") {
    withTimer(label, (name) => {
      native.log("INFO", [elapsed(name)]);
      timers.delete(name);
    });
  },
});

shared.global("console", console);
