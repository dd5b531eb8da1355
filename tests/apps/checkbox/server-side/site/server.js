'use strict';
// Stand-in for checkbox.io's server: same routes, environment and database as the real one, plus /getPic
// (a feature flag decides what it shows), /health and the header X-Checkbox-Version. version.json names the version and the faults it was built with.
const express = require('express');
const studies = require('./studies');
const database = require('./db');
const flags = require('./flags').fromEnvironment(['key1']);
const build = require('./version.json');
const picture = require('./picture');

const app = express();
let answered = 0;

app.disable('x-powered-by');
app.use((req, res, next) => {
  res.set('X-Checkbox-Version', build.version);
  next();
});

app.get('/health', async (req, res) => {
  try {
    await database.ping();
    res.json({ status: 'ok', version: build.version });
  } catch (error) {
    res.status(503).json({ status: 'no database', version: build.version });
  }
});

// The faults of a bad build: slow, and every so manieth answer an error.
app.use((req, res, next) => {
  answered += 1;
  const broken = build.error_every > 0 && answered % build.error_every === 0;
  setTimeout(() => (broken ? res.status(500).json({ error: 'bad build' }) : next()), build.delay_ms);
});

app.use(express.json({ limit: '1mb' }));
app.use(express.urlencoded({ extended: false }));
app.use('/api/study', studies);
// Without Redis servers in its environment it has no flags, and always shows the picture.
app.get('/getPic', (req, res) => {
  const { value, source, ageSeconds } = flags ? flags.get('key1') : { value: '1' };
  res.set(flags ? { 'X-Flag-Source': source, 'X-Flag-Age': ageSeconds } : {});
  return value === '1' ? res.type('png').send(picture) : res.type('text').send('NULL');
});

const server = app.listen(Number(process.env.APP_PORT || 3002), () => {
  console.log(`checkbox ${build.version} listens on ${server.address().port}`);
});
// Longer than a proxy in front keeps idle connections, so that this side never closes one first.
server.keepAliveTimeout = 90000;

process.on('SIGTERM', () => {
  flags?.close();
  server.close(() => database.close().finally(() => process.exit(0)));
  setTimeout(() => server.closeIdleConnections(), 100);
});
