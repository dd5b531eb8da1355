// The page: logs in, asks the balancer every second, and shows what it says. Texts are put in as texts only.
import { make, say, Keyed, age } from "./tools.js";
import { Service } from "./service.js";
import { Dialog } from "./dialog.js";

const ASK_MS = 1000;
// A second answer that is missing: the first may just be slow.
const LATE_SECONDS = 3;
const TIMEOUT_MS = 5000;
const KEY = "sluice-key";
const $ = (id) => document.getElementById(id);

// What was heard last, and when by this machine's own clock.
const heard = { status: null, at: 0, history: new Map(), next: 0, started: null };
let asking = 0;

const services = new Keyed($("services"), (name) => new Service(name, actions));
const dialog = new Dialog($("dialog"));

// Calls of the API.

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(method, path, body, wait = TIMEOUT_MS) {
  const options = { method, headers: {}, cache: "no-store", signal: AbortSignal.timeout(wait) };
  const key = localStorage.getItem(KEY);
  if (key) options.headers["X-Sluice-Key"] = key;
  if (body !== undefined) options.body = JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refused(0, "The balancer does not answer.");
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  if (answer.status === 401 && path !== "/page/login") showLogin("Your session is over. Log in again.");
  throw new Refused(answer.status, told.error || `The balancer answered with status ${answer.status}.`);
}

// Logging in and out.

function showLogin(note = "") {
  asking += 1;
  localStorage.removeItem(KEY);
  dialog.close();
  $("app").hidden = true;
  $("login").hidden = false;
  $("messages").replaceChildren();
  say($("login-note"), note);
  say($("login-error"), "");
  document.title = "Log in – Balancer";
  $("token").focus();
}

function showApp() {
  $("login").hidden = true;
  $("app").hidden = false;
  Object.assign(heard, { status: null, at: performance.now(), history: new Map(), next: 0, started: null });
  asking += 1;
  poll(asking);
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = $("login-form").querySelector("button");
  button.disabled = true;
  try {
    const told = await call("POST", "/page/login", { token: $("token").value.trim() });
    localStorage.setItem(KEY, told.key);
    $("token").value = "";
    showApp();
    $("services").focus();
  } catch (error) {
    say($("login-error"), sentence(error.message));
    $("token").select();
  } finally {
    button.disabled = false;
  }
});

$("logout").addEventListener("click", async () => {
  await call("POST", "/page/logout").catch(() => {});
  showLogin("You are logged out.");
});

// Another tab logged in or out.
window.addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  if (event.newValue) showApp();
  else showLogin("You are logged out.");
});

// Asking.

async function poll(turn) {
  while (turn === asking) {
    const began = performance.now();
    try {
      const status = await call("GET", "/status");
      if (turn !== asking) return;
      if (heard.started !== status.balancer.started_at) {
        Object.assign(heard, { started: status.balancer.started_at, history: new Map(), next: 0 });
      }
      heard.status = status;
      heard.at = performance.now();
      remember(await call("GET", `/history?since=${heard.next - 1}`));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
    if (turn !== asking) return;
    show();
    await new Promise((done) => setTimeout(done, Math.max(ASK_MS - (performance.now() - began), 200)));
  }
}

function remember(told) {
  heard.seconds = told.seconds;
  heard.samples = told.samples;
  for (const [service, tracks] of Object.entries(told.services)) {
    for (const [track, columns] of Object.entries(tracks)) {
      const name = `${service} ${track}`;
      const known = heard.history.get(name) || {};
      for (const [field, values] of Object.entries(columns)) {
        known[field] = [...(known[field] || []), ...values].slice(-told.samples);
      }
      heard.history.set(name, known);
    }
  }
  heard.next = told.next;
}

// Showing.

function show() {
  const status = heard.status;
  if (!status) return;
  const own = status.balancer;
  document.title = `${alerts(status)}${own.host} – Balancer`;
  say($("host"), own.host);
  const workers = `${status.workers} ${status.workers === 1 ? "worker" : "workers"}`;
  const reads = Object.keys(status.redis_servers).filter((id) => status.redis_servers[id].reads);
  const redis = status.redis === "off" ? "no Redis" : ["Redis", status.redis, ...reads].join(" ");
  say($("facts"), `Sluice ${own.version} · ${workers} · ${redis} · file in force for ${since(status.config.loaded_at)}`);
  banner($("config-error"), status.config.error && `The latest file is refused, the last good one is in force. ${status.config.error}`);
  banner($("redis-error"), status.redis === "disconnected" && "Redis cannot be reached: alerts raised elsewhere do not come in that way.");
  services.update(Object.keys(status.services), (view, name) =>
    view.update(status.services[name], (track) => heard.history.get(`${name} ${track}`) || {}, since, heard),
  );
}

function alerts(status) {
  const count = Object.values(status.services).filter((told) => told.alert).length;
  return count ? `(${count} ${count === 1 ? "alert" : "alerts"}) ` : "";
}

// How long ago it was by the balancer's clock, which need not be this machine's.
function since(at) {
  const clock = Date.parse(heard.status.balancer.at) + (performance.now() - heard.at);
  return age((clock - Date.parse(at)) / 1000);
}

function banner(element, text) {
  element.hidden = !text;
  say(element, text || "");
}

setInterval(() => {
  if ($("app").hidden) return;
  const old = (performance.now() - heard.at) / 1000;
  const late = old > LATE_SECONDS;
  document.body.classList.toggle("stale", late);
  $("pulse").classList.toggle("late", late);
  say($("pulse-text"), late ? "not live" : "live");
  // Told once; the seconds are for the eye alone.
  say($("lost-text"), late ? "No connection to the balancer." : "");
  say($("lost-age"), late && heard.status ? `What you see is ${age(old)} old.` : "");
}, 250);

// Orders.

function message(text, bad = false) {
  const close = make("button", { type: "button", class: "small" }, "OK");
  const shown = make("div", { class: bad ? "message bad" : "message" }, make("p", {}, text), close);
  close.addEventListener("click", () => shown.remove());
  $("messages").append(shown);
  if (!bad) setTimeout(() => shown.remove(), 12_000);
}

async function order(method, path, body, done, wait) {
  const told = await call(method, path, body, wait);
  message(done(told));
}

const actions = {
  alert(service) {
    dialog.open({
      title: `Raise the alert for ${service}?`,
      text: "Its canary gets no further request, until the alert is cleared.",
      fields: [{ name: "reason", label: "Reason", type: "text", maxLength: 200, value: "" }],
      go: "Raise the alert",
      danger: true,
      act: ({ reason }) =>
        order("POST", "/alert", { service, ...(reason.trim() ? { reason } : {}) }, (told) => `The alert for ${service} stands: ${told.alert.reason}`),
    });
  },
  clear(service) {
    dialog.open({
      title: `Clear the alert for ${service}?`,
      text: "The canary gets its share again, at this balancer. With several balancers, salt-run release.clear clears it everywhere.",
      go: "Clear the alert",
      act: () =>
        order("DELETE", `/alert/${encodeURIComponent(service)}`, undefined, (told) =>
          told.cleared ? `The alert for ${service} is cleared.` : `No alert stood for ${service}.`,
        ),
    });
  },
  endLease(service) {
    dialog.open({
      title: `End the lease of ${service}?`,
      text: "The declared weights hold again, at this balancer.",
      go: "End the lease",
      act: () =>
        order("DELETE", `/weights/${encodeURIComponent(service)}`, undefined, (told) =>
          told.ended ? `The declared weights of ${service} hold again.` : `${service} has no lease.`,
        ),
    });
  },
  drain(service, backend, refused = null) {
    const force = refused !== null;
    dialog.open({
      title: force ? `Drain ${backend} all the same?` : `Drain ${backend}?`,
      text: force
        ? refused
        : "It gets no new request. What is in flight may finish until the deadline; what is left then is cut off.",
      fields: [{ name: "deadline", label: "Deadline in seconds", type: "number", min: 0, max: 3600, value: "30" }],
      go: force ? "Drain by force" : "Drain",
      danger: force,
      waiting: `Draining ${backend}. You may close this; the drain goes on.`,
      act: async ({ deadline }) => {
        const wait = Number(deadline);
        if (deadline === "" || !(wait >= 0 && wait <= 3600)) throw new Refused(400, "The deadline is 0 to 3600 seconds.");
        const body = { service, backend, deadline_seconds: wait, ...(force ? { force: true } : {}) };
        try {
          await order("POST", "/drain", body, (told) => drained(backend, told.cut), wait * 1000 + 10_000);
        } catch (error) {
          if (error.status !== 409 || force) throw error;
          return () => actions.drain(service, backend, sentence(error.message));
        }
      },
    });
  },
  async restore(service, backend) {
    try {
      await order("POST", "/restore", { service, backend }, (told) =>
        told.restored ? `${backend} is back in service.` : `${backend} was not drained.`,
      );
    } catch (error) {
      message(sentence(error.message), true);
    }
  },
};

function drained(backend, cut) {
  if (!cut) return `${backend} is drained, and no request was cut off.`;
  return `${backend} is drained; ${cut} ${cut === 1 ? "request was" : "requests were"} cut off at the deadline.`;
}

dialog.failed = (error) => sentence(error.message);
dialog.late = (error) => message(sentence(error.message), true);

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

if (localStorage.getItem(KEY)) showApp();
else showLogin();
