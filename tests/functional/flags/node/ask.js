// Asks the flag service with the published provider; what to ask comes as JSON on the standard input.
const { OpenFeature } = require('@openfeature/server-sdk');
const { OFREPProvider } = require('@openfeature/ofrep-provider');

async function main() {
  const { baseUrl, token, questions } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const headers = [['Authorization', `Bearer ${token}`]];
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers, timeoutMs: 10000 }));
  const client = OpenFeature.getClient();
  const answers = [];
  for (const { type, flag, fallback, context } of questions) {
    answers.push(await client[`get${type}Details`](flag, fallback, context));
  }
  console.log(JSON.stringify(answers));
}

main();
