// One service: its alert, its weights, its charts and its backends.
import { Chart } from "./chart.js";
import { age, make, say, mark, Keyed, short } from "./tools.js";

const STATES = { up: "good", down: "bad", drained: "warn", ejected: "bad" };
const FINDINGS = { ok: "good", broken: "bad", alert: "bad" };

export class Service {
  constructor(name, actions) {
    this.name = name;
    this.actions = actions;
    const id = `service-${name}`;
    this.badge = make("span", { class: "badge" });
    this.note = make("p", { class: "hint" });
    this.tls = make("p", { class: "refusal" });
    this.leased = make("strong");
    this.until = make("p", { class: "hint" });
    const end = button("End lease…", `End lease of ${name}`, "", () => actions.endLease(name));
    this.lease = make("div", { class: "standing leased", hidden: "" }, make("div", {}, this.leased, this.until), end);
    this.raise = button("Raise alert…", `Raise alert for ${name}`, "grave", () => actions.alert(name));
    this.reason = make("strong");
    this.who = make("p", { class: "hint" });
    this.clear = button("Clear alert…", `Clear alert for ${name}`, "", () => actions.clear(name));
    this.standing = make("div", { class: "standing", hidden: "" }, make("div", {}, this.reason, this.who), this.clear);
    this.bar = new Keyed(make("div", { class: "bar", role: "img" }), (track) => ({ element: make("span", { class: `is-${track}` }) }));
    this.weights = new Keyed(make("div", { class: "weights" }), (track) => new Weight(track));
    this.finding = make("span", { class: "badge" });
    this.said = make("span");
    this.lost = make("p", { class: "refusal", hidden: "" });
    this.charts = [];
    this.plots = make("div", { class: "charts" });
    this.rows = new Keyed(make("tbody"), () => new Row(this));
    this.element = make(
      "section",
      { class: "service", "aria-labelledby": id },
      make("div", { class: "top" }, make("h2", { id }, name), this.badge, this.note, this.raise),
      this.standing,
      this.lease,
      make("div", { class: "split" }, this.bar.parent, this.weights.parent),
      this.plots,
      make("div", { class: "facts" }, make("p", {}, "Monitor ", this.finding, " ", this.said), this.lost, this.tls),
      make("div", {}, table(this.rows.parent)),
    );
  }

  update(told, history, since, { samples, seconds }) {
    const tracks = Object.keys(told.tracks);
    this.showAlert(told.alert, since);
    this.showLease(told.lease);
    this.showWeights(told.tracks, tracks);
    this.showPlace(told);
    this.showCharts(tracks, history, samples, seconds);
    badge(this.finding, told.monitor.state, FINDINGS[told.monitor.state]);
    say(this.said, told.monitor.said);
    const unserved = (history("none").rate || []).at(-1);
    this.lost.hidden = !unserved;
    say(this.lost, unserved ? `${short(unserved)} requests/s find no backend that may serve.` : "");
    const rows = tracks.flatMap((track) => Object.keys(told.tracks[track].backends).map((host) => `${track} ${host}`));
    this.rows.update(rows, (row, key) => {
      const [track, host] = key.split(" ");
      row.update(track, host, told.tracks[track].backends[host]);
    });
  }

  showAlert(alert, since) {
    this.element.classList.toggle("alerted", Boolean(alert));
    this.standing.hidden = !alert;
    this.raise.hidden = Boolean(alert);
    badge(this.badge, alert ? "alert" : "no alert", alert ? "bad" : "good");
    if (!alert) return;
    say(this.reason, alert.reason);
    say(this.who, `by ${alert.by} · door ${alert.door} · ${since(alert.at)} ago`);
    mark(this.who, "title", alert.at);
  }

  showLease(lease) {
    this.lease.hidden = !lease;
    if (!lease) return;
    const weights = Object.entries(lease.weights).map(([track, weight]) => `${track} ${weight} %`);
    say(this.leased, `Leased weights: ${weights.join(", ")}`);
    say(this.until, `by ${lease.by} · the declared ones hold again in ${age(lease.seconds_left)}, unless it is renewed`);
  }

  // Where users come in.
  showPlace({ listen, hosts, tls, affinity }) {
    const parts = [listen, tls && `https ${tls.listen}`, hosts && hosts.join(", "), affinity && `affinity, release ${affinity.release}`];
    say(this.note, parts.filter(Boolean).join(" · "));
    say(this.tls, tls && tls.error ? `The certificate is refused, the last good one is in force. ${tls.error}` : "");
  }

  showWeights(tracks, names) {
    this.bar.update(names, (view, track) => (view.element.style.width = `${tracks[track].weight_effective}%`));
    mark(this.bar.parent, "aria-label", names.map((track) => `${track} ${tracks[track].weight_effective} %`).join(", "));
    this.weights.update(names, (view, track) => view.update(tracks[track]));
  }

  showCharts(tracks, history, samples, seconds) {
    if (this.charts.join() !== tracks.join()) {
      this.charts = tracks;
      this.views = [
        new Chart("Requests per second", tracks, { field: "rate" }),
        new Chart("Errors (5xx)", tracks, { field: "errors", unit: " %", factor: 100 }),
        new Chart("Time, p50", tracks, { field: "p50", unit: " ms" }),
        new Chart("Time, p99", tracks, { field: "p99", unit: " ms" }),
      ];
      this.plots.replaceChildren(...this.views.map((view) => view.element));
    }
    for (const view of this.views) view.update(history, samples, seconds);
  }
}

class Weight {
  constructor(track) {
    this.now = make("b");
    this.wanted = make("span", { class: "hint" });
    this.element = make("div", { class: "weight" }, make("span", { class: `key is-${track}`, "aria-hidden": "true" }), make("span", {}, track), this.now, this.wanted);
  }

  update(told) {
    say(this.now, `${told.weight_effective} %`);
    const lease = told.weight_leased == null ? "" : `, leased ${told.weight_leased} %`;
    say(this.wanted, `declared ${told.weight_declared} %${lease}`);
  }
}

class Row {
  constructor(service) {
    this.service = service;
    this.host = make("td", { class: "host" });
    this.track = make("td", { "data-label": "Track" });
    this.address = make("td", { class: "wide", "data-label": "Address" });
    this.badge = make("span", { class: "badge" });
    this.flying = make("td", { class: "number", "data-label": "In flight" });
    this.health = make("td", { class: "wide", "data-label": "Health" });
    this.action = button("", "", "small", () => this.act());
    this.element = make(
      "tr",
      {},
      this.host,
      this.track,
      this.address,
      make("td", {}, this.badge),
      this.flying,
      this.health,
      make("td", {}, this.action),
    );
  }

  update(track, host, told) {
    Object.assign(this, { name: host, state: told.state });
    say(this.host, host);
    say(this.track, track);
    say(this.address, told.address);
    badge(this.badge, told.state, STATES[told.state]);
    say(this.flying, `${told.in_flight}`);
    say(this.health, told.ejected ? `left alone for now: ${told.ejected.reason}` : told.health);
    const verb = told.state === "drained" ? "Restore" : "Drain…";
    say(this.action, verb);
    mark(this.action, "aria-label", `${verb.replace("…", "")} ${host}`);
  }

  act() {
    this.service.actions[this.state === "drained" ? "restore" : "drain"](this.service.name, this.name);
  }
}

function table(body) {
  const head = ["Backend", "Track", "Address", "State", "In flight", "Health", "Action"];
  const cells = head.map((text) => make("th", { scope: "col", ...(text === "In flight" ? { class: "number" } : {}) }, text));
  return make("table", {}, make("caption", {}, "Backends"), make("thead", {}, make("tr", {}, ...cells)), body);
}

function badge(element, text, kind = "") {
  say(element, text);
  element.className = `badge ${kind}`;
}

function button(text, label, kind, act) {
  const made = make("button", { type: "button", class: kind, "aria-label": label }, text);
  made.addEventListener("click", act);
  return made;
}
