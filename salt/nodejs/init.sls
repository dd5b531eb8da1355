# Node.js and npm from the distribution.
nodejs-package:
  pkg.installed:
    - pkgs:
      - nodejs
      - npm
    - refresh: True
    - cache_valid_time: {{ salt["pillar.get"]("packages:lists_valid_seconds", 86400) }}
    - install_recommends: False
