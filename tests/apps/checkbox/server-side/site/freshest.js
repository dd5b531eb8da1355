'use strict';
// Which of two servers' states an application believes. A state:
//   id, values, at (ms; when it was asked), roundTripMs,
//   term (raised at each promotion), isMaster, isLinked (a master, or a replica whose master answers it),
//   history (replication id), offset (bytes of that history that it has), behindSeconds (since it lost its master).

// Longer than a healthy replica takes to be sent a write, also on a busy computer.
const SENT_MS = 50;

function isFresher(one, other) {
  if (one.term !== other.term) {
    return one.term > other.term; // whoever missed a promotion is out of date
  }
  if (one.isLinked !== other.isLinked) {
    return one.isLinked;
  }
  if (one.isMaster !== other.isMaster) {
    // Replicas answer readers, and the master if they lag.
    const [master, replica] = one.isMaster ? [one, other] : [other, one];
    return one.isMaster === isLagging(replica, master);
  }
  if (one.history !== other.history) {
    return one.at > other.at; // offsets of different histories cannot be compared
  }
  // A replica that the network cut off knows nothing of it until repl-timeout; its offset tells.
  return one.offset === other.offset ? one.roundTripMs < other.roundTripMs : one.offset > other.offset;
}

// Asked a while after the master, it has less than the master had then.
function isLagging(replica, master) {
  const isLater = replica.at >= master.at + SENT_MS;
  return replica.history === master.history && isLater && replica.offset < master.offset;
}

module.exports = { isFresher };
