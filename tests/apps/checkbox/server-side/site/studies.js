'use strict';
// The routes below /api/study: listing, loading and creating studies, their votes. Like the real ones they
// know no error but their own: one from the database ends the process, and the unit starts it again.
const crypto = require('crypto');
const express = require('express');
const { ObjectId } = require('mongodb');
const { site } = require('./db');

const routes = express.Router();
const INVITE_CODE = 'RESEARCH';
const PRIORITY = { open: 0, awarded: 1, closed: 2 };

routes.get('/listing', async (req, res) => {
  const found = await site().collection('studies').find().toArray();
  const counted = await site().collection('votes')
    .aggregate([{ $group: { _id: '$studyId', votes: { $sum: 1 } } }]).toArray();
  const votes = new Map(counted.map((row) => [String(row._id), row.votes]));
  const studies = found.filter((study) => !study.skipListing).map((study) => ({
    id: study._id, votes: votes.get(String(study._id)) || 0, name: study.name, status: study.status,
    goal: study.goal, awards: study.awards, studyKind: study.studyKind, link: study.publicLink,
    results: study.results, description: study.description,
  }));
  studies.sort((a, b) => PRIORITY[a.status] - PRIORITY[b.status]);
  res.json({ studies });
});

routes.get('/load/:id', async (req, res) => {
  const found = await site().collection('studies').findOne({ _id: new ObjectId(req.params.id) });
  const { token, invitecode, ...shown } = found;
  res.json(shown);
});

routes.get('/status/:id', async (req, res) => {
  const studyId = new ObjectId(req.params.id);
  res.json({ votes: await site().collection('votes').countDocuments({ studyId }) });
});

routes.post('/create', async (req, res) => {
  const { invitecode, name, description, studyKind, awards, goal, markdown } = req.body;
  if (invitecode !== INVITE_CODE) {
    return res.json({ error: 'Invalid invitecode' });
  }
  const token = crypto.randomBytes(48).toString('hex');
  const adminLink = `/studies/admin/?token=${token}`;
  const study = {
    _id: new ObjectId(), name, description, studyKind, awards, goal: goal || 100, markdown, invitecode, token,
    adminLink, status: 'open',
  };
  study.publicLink = `/studies/?id=${study._id}`;
  await site().collection('studies').insertOne(study);
  return res.json({ admin_url: adminLink });
});

routes.post('/vote/submit/', async (req, res) => {
  const { studyId, answers, fingerprint, email, contact } = req.body;
  const ip = (req.headers['x-forwarded-for'] || '').split(',')[0] || req.socket.remoteAddress;
  await site().collection('votes').insertOne({
    studyId: new ObjectId(studyId), timestamp: new Date(), ip, fingerprint, email, contact,
    answers: JSON.parse(answers),
  });
  res.json({ done: true });
});

module.exports = routes;
