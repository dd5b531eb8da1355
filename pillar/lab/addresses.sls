# The lab writes this file for its own network when it copies the checkout to the master.
{
  "lab": {
    "network": "10.57.0.0/24",
    "host": "10.57.0.1",
    "addresses": {
      "master": "10.57.0.10",
      "lb-1": "10.57.0.11",
      "redis-1": "10.57.0.12",
      "git-1": "10.57.0.13",
      "redis-2": "10.57.0.14",
      "redis-3": "10.57.0.15",
      "checkbox-1": "10.57.0.21",
      "checkbox-2": "10.57.0.22",
      "canary-1": "10.57.0.31",
      "jenkins-1": "10.57.0.16",
      "itrust-1": "10.57.0.41",
      "itrust-2": "10.57.0.42",
      "itrust-3": "10.57.0.43",
      "itrust-4": "10.57.0.44",
      "itrust-5": "10.57.0.45"
    }
  }
}
