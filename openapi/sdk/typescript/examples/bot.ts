// Answers every text with the same text.
import {Chasqui, ChasquiError, text} from 'chasqui'

const chasqui = new Chasqui({url: process.env['CHASQUI_URL'] ?? '', apiKey: process.env['CHASQUI_API_KEY'] ?? ''})

for await (const event of chasqui.events({type: ['message.received'], after: process.env['AFTER'] ?? ''})) {
  if (event.type !== 'message.received') continue
  const {id, sessionId, chatId, content} = event.data.message
  if (content.type !== 'text' || content.text === undefined) continue
  try {
    await chasqui.sendMessage({
      path: {sessionId},
      body: {to: chatId, replyTo: id, content: text(content.text)},
      headers: {'Idempotency-Key': `echo-${event.id}`},
    })
  } catch (error) {
    if (!(error instanceof ChasquiError)) throw error
    console.error(error.message)
  }
}
