'use strict';
// Feature flags out of memory: no answer ever waits for Redis. Every server is listened to; the freshest of them
// is believed, then the last value known, then OFF.
const { readFileSync } = require('node:fs');
const { follow } = require('./redis');
const { isFresher } = require('./freshest');

const OFF = '0';
const SERVER = /^([a-z0-9][a-z0-9.-]*)=([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):([0-9]{1,5})$/;

class Flags {
  constructor(servers, login, names) {
    this.values = null;
    this.source = 'default';
    this.heardAt = null;
    this.states = new Map();
    this.following = servers.map((server) => follow(server, login, names, (state) => {
      this.states.set(server.id, state);
      this.choose();
    }));
  }

  choose() {
    const states = [...this.states.values()].filter(Boolean);
    if (!states.length) {
      this.source = this.values ? 'memory' : 'default';
      return;
    }
    const best = states.reduce((one, other) => (isFresher(other, one) ? other : one));
    this.values = best.values;
    this.source = best.id;
    this.heardAt = best.at - 1000 * best.behindSeconds;
  }

  // What a flag is now, who said so, and how long ago, in seconds (`never`: nobody has said anything yet).
  get(name) {
    const age = this.heardAt === null ? 'never' : ((performance.now() - this.heardAt) / 1000).toFixed(3);
    return { value: this.values?.[name] ?? OFF, source: this.source, ageSeconds: age };
  }

  close() {
    this.following.forEach((one) => one.close());
  }
}

function parse(text) {
  return text.split(/[\s,]+/).filter(Boolean).map((word) => {
    const [found, id, host, port] = SERVER.exec(word) || [];
    if (!found || Number(port) < 1 || Number(port) > 65535) {
      throw new Error(`REDIS_SERVERS: ${JSON.stringify(word)}: want ID=HOST:PORT, like redis-1=10.57.0.12:6379`);
    }
    return { id, host: host.replace(/[[\]]/g, ''), port: Number(port) };
  });
}

// REDIS_SERVERS (ID=HOST:PORT, with blanks or commas between), REDIS_USERNAME, REDIS_PASSWORD, and with REDIS_TLS=1
// REDIS_CA (a file of certificates; default: those that node knows). null without REDIS_SERVERS.
function fromEnvironment(names, env = process.env) {
  const servers = parse(env.REDIS_SERVERS || '');
  if (!servers.length) {
    return null;
  }
  const ca = env.REDIS_CA ? readFileSync(env.REDIS_CA) : undefined;
  const tls = env.REDIS_TLS === '1' ? { tls: true, ca } : {};
  return new Flags(servers, { username: env.REDIS_USERNAME, password: env.REDIS_PASSWORD, tls }, names);
}

module.exports = { fromEnvironment };
