# nginx without the distribution's default site; a service adds its own in sites-enabled.
nginx-package:
  pkg.installed:
    - name: nginx-light
    - refresh: True
    - cache_valid_time: {{ salt["pillar.get"]("packages:lists_valid_seconds", 86400) }}
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
