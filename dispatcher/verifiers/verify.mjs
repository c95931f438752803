// Verifies recorded webhooks with the libraries that receivers use. It reads {"cases": [{"secret", "headers", "body" (base64)}]} and prints, for
// each library and case, whether it takes the webhook for genuine.
import {readFileSync} from 'node:fs'
import {Webhook as StandardWebhook} from 'standardwebhooks'
import {Webhook as SvixWebhook} from 'svix'

const {cases} = JSON.parse(readFileSync(0, 'utf8'))
const verdicts = {}
for (const [name, Webhook] of [['standardwebhooks', StandardWebhook], ['svix', SvixWebhook]]) {
  verdicts[name] = cases.map(({secret, headers, body}) => {
    try {
      new Webhook(secret).verify(Buffer.from(body, 'base64'), headers)
      return 'genuine'
    } catch (e) {
      return e.constructor.name + ': ' + e.message
    }
  })
}
console.log(JSON.stringify(verdicts))
