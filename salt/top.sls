# Role -> states; roles are the nodegroups of conf/master.d/nodegroups.conf.
base:
  '*':
    - minion
  master:
    - match: nodegroup
    - master
  redis:
    - match: nodegroup
    - redis
    - redis.flags
  mongodb:
    - match: nodegroup
    - mongodb
  checkbox:
    - match: nodegroup
    - checkbox
  balancer:
    - match: nodegroup
    - balancer
  flags:
    - match: nodegroup
    - flags
  mariadb:
    - match: nodegroup
    - mariadb
  itrust:
    - match: nodegroup
    - itrust
  jenkins:
    - match: nodegroup
    - jenkins
