# nginx without the distribution's default site; a service adds its own in sites-enabled.
nginx-package:
  pkg.installed:
    - name: nginx-light
    - refresh: False
    - install_recommends: False

nginx-no-default-site:
  file.absent:
    - name: /etc/nginx/sites-enabled/default
    - require:
      - pkg: nginx-package

nginx-service:
  service.running:
    - name: nginx
    - enable: True
    - reload: True
    - require:
      - pkg: nginx-package
    - watch:
      - file: nginx-no-default-site
