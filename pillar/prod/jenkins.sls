# EXAMPLE: Jenkins from its makers' repository, building the real iTrust on Java 17 (docs/reference/jenkins.md).
jenkins:
  version: ''        # an LTS version that runs on Java 17
  key_sha256: ''     # of jenkins:key_url, from a second source
  bind: 0.0.0.0
  job:
    repository: https://git.example.com/itrust.git
    artifacts_url: http://192.0.2.16:8081/
    prepare:
      - [mvn, -B, 'dependency:get', '-Dartifact=javax.annotation:javax.annotation-api:1.3.2']
    build: [mvn, -B, -DskipTests, -Dexec.skip=true, -Djacoco.skip=true, -Dmaven.compiler.fork=true, package]
    environment:
      MAVEN_OPTS: >-
        --add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.lang.reflect=ALL-UNNAMED
        --add-opens=java.base/java.text=ALL-UNNAMED --add-opens=java.desktop/java.awt.font=ALL-UNNAMED
      JDK_JAVAC_OPTIONS: >-
        -Xbootclasspath/a:/var/lib/jenkins/.m2/repository/javax/annotation/javax.annotation-api/1.3.2/javax.annotation-api-1.3.2.jar
  report:
    url: https://master.example.com:8000
