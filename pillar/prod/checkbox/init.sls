# EXAMPLE: the real checkbox.io has no health route of its own and no /getPic; its listing needs the database.
checkbox:
  # https://github.com/chrisparnin/checkbox.io.git works unchanged; its only version is `master`. Fork it to tag more.
  source: https://git.example.com/checkbox.git
  version: v1
  env:
    MONGO_IP: 10.20.0.21
    MONGO_PORT: 27017
    MONGO_USER: checkbox
    MAIL_USER: checkbox@example.com
    MAIL_SMTP: smtp.example.com
    # Uploads of the real one call os.tmpDir, a name that Node.js has dropped.
    NODE_OPTIONS: "--import=data:text/javascript,import%20os%20from%20'os';os.tmpDir=os.tmpdir"
  health:
    path: /api/study/listing
  proxied_paths: [/api/]
