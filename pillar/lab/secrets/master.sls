# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
release_settings:
  alert_token: lab-fake-alert-master
  services:
    itrust:
      push:
        github: lab-fake-webhook-of-github
        gitlab: lab-fake-webhook-of-gitlab
        gitea: lab-fake-webhook-of-gitea
        trigger: {token: lab-fake-jenkins-trigger}
salt_api:
  users:
    jenkins: {password: lab-fake-jenkins-report}
