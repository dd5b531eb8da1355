'use strict';
// One Redis server, followed: its state is told when a flag changes, twice a second, and as null when it is gone.
const { createClient } = require('@redis/client');

// How often a server that says nothing is asked, and how long it may take to answer: a silent one is out of
// service after a second and a half, and never believed over one that has heard more.
const ASK_MS = 500;
const ANSWER_MS = 1000;
const RETRY_MS = 300;
const TERM = 'sluice:term';

class Followed {
  constructor(server, login, names, tell) {
    Object.assign(this, { server, login, names, tell, isClosed: false, problem: null });
    this.closed = new Promise((resolve) => { this.close = () => { this.isClosed = true; resolve(); }; });
    this.run();
  }

  async run() {
    while (!this.isClosed) {
      try {
        await this.session();
      } catch (error) {
        this.say(error.message);
      }
      this.tell(null);
      await Promise.race([wait(RETRY_MS), this.closed]);
    }
  }

  // Once, when it changes: a server that is down for a day fills no log.
  say(problem) {
    if (problem !== this.problem && !this.isClosed) {
      console.log(`flags: ${this.server.id} (${this.server.host}:${this.server.port}): ${problem || 'connected'}`);
      this.problem = problem;
    }
  }

  async session() {
    const { host, port } = this.server;
    const client = createClient({
      RESP: 3, // events and answers on one connection
      username: this.login.username,
      password: this.login.password,
      disableOfflineQueue: true,
      disableClientInfo: true, // no rights for it, and Redis 7.0 does not know it
      socket: { host, port, connectTimeout: ANSWER_MS, reconnectStrategy: false, ...this.login.tls },
    });
    const broken = new Promise((_, reject) => { client.on('error', reject); });
    try {
      await Promise.race([broken, this.closed, this.listen(client)]);
    } finally {
      client.isOpen && client.destroy();
    }
  }

  async listen(client) {
    await within(client.connect());
    this.roundTripMs = Infinity;
    const changed = () => { this.ask(client).catch(() => {}); };
    await within(client.subscribe([...this.names, TERM].map((name) => `__keyspace@0__:${name}`), changed));
    while (!this.isClosed) {
      await within(this.ask(client));
      this.say('');
      await wait(ASK_MS);
    }
  }

  // One question at a time; what changes meanwhile is asked for once more, however often it changed.
  async ask(client) {
    if (this.asking) {
      this.again = true;
      return this.asking;
    }
    this.asking = this.askUntilQuiet(client);
    try {
      await this.asking;
    } finally {
      this.asking = null;
    }
  }

  async askUntilQuiet(client) {
    do {
      this.again = false;
      const at = performance.now();
      // The offset before the values: they are never older than it says.
      const [info, [term, ...values]] = await Promise.all([
        client.info('replication'), client.mGet([TERM, ...this.names]),
      ]);
      if (!client.isOpen) {
        return; // given up meanwhile
      }
      this.roundTripMs = Math.min(this.roundTripMs, performance.now() - at);
      this.tell(this.state(at, info, term, values));
    } while (this.again);
  }

  state(at, info, term, values) {
    const told = Object.fromEntries(info.split('\r\n').map((line) => line.split(':', 2)));
    const isMaster = told.role === 'master';
    return {
      id: this.server.id,
      values: Object.fromEntries(this.names.map((name, index) => [name, values[index]])),
      at,
      roundTripMs: this.roundTripMs,
      term: Number(term) || 0,
      isMaster,
      isLinked: isMaster || told.master_link_status === 'up',
      history: told.master_replid,
      offset: Number(isMaster ? told.master_repl_offset : told.slave_repl_offset),
      behindSeconds: Math.max(0, Number(told.master_link_down_since_seconds) || 0),
    };
  }
}

function wait(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}

async function within(answer) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ANSWER_MS / 1000} s`)), ANSWER_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

module.exports = { follow: (...settings) => new Followed(...settings) };
