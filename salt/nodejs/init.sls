# Node.js and npm from the distribution.
nodejs-package:
  pkg.installed:
    - pkgs:
      - nodejs
      - npm
    - refresh: False
    - install_recommends: False
