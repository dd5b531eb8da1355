# EXAMPLE: the real checkbox.io has no health route of its own and no /getPic; its listing needs the database.
checkbox:
  source: https://git.example.com/checkbox.git
  version: v1
  env:
    MONGO_IP: 10.20.0.21
    MONGO_PORT: 27017
    MONGO_USER: checkbox
    MAIL_USER: checkbox@example.com
    MAIL_SMTP: smtp.example.com
  health:
    path: /api/study/listing
  proxied_paths: [/api/]
