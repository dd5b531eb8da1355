// Run at each start of Jenkins: brings its one user and its doors in line with a file that only it can read.
// Nothing secret is in this script, and running it again changes nothing.
import groovy.json.JsonSlurper
import hudson.model.User
import hudson.security.FullControlOnceLoggedInAuthorizationStrategy
import hudson.security.HudsonPrivateSecurityRealm
import hudson.security.csrf.DefaultCrumbIssuer
import jenkins.model.Jenkins
import jenkins.security.ApiTokenProperty

def told = new JsonSlurper().parse(new File('/etc/sluice/jenkins/admin.json'))
def jenkins = Jenkins.get()

def realm = jenkins.securityRealm
if (!(realm instanceof HudsonPrivateSecurityRealm)) {
    realm = new HudsonPrivateSecurityRealm(false, false, null)
    jenkins.securityRealm = realm
}
def password = HudsonPrivateSecurityRealm.Details.fromPlainPassword(told.password)
def user = User.getById(told.user, true)
user.addProperty(password)

def tokens = user.getProperty(ApiTokenProperty) ?: new ApiTokenProperty()
tokens.tokenStore.tokenListSortedByName.findAll { it.name == 'sluice' }.each { tokens.tokenStore.revokeToken(it.uuid) }
tokens.tokenStore.addFixedNewToken('sluice', told.token)
user.addProperty(tokens)
user.save()

def strategy = new FullControlOnceLoggedInAuthorizationStrategy()
strategy.allowAnonymousRead = told.anonymous_read
jenkins.authorizationStrategy = strategy
jenkins.crumbIssuer = new DefaultCrumbIssuer(false)
jenkins.slaveAgentPort = -1
jenkins.numExecutors = 1
jenkins.save()
