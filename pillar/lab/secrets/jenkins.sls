# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
jenkins:
  admin: {token: lab-fake-jenkins-admin}
  job: {trigger_token: lab-fake-jenkins-trigger}
  report: {password: lab-fake-jenkins-report}
