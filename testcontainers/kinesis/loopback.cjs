/**
 * Loaded into the server before anything of its own: it has no setting for the address that it listens on, and takes all of
 * them. Says when the port without TLS is open, which the server itself says at a log level that says much more.
 */
'use strict'
const { Server } = require('node:net')

const { listen } = Server.prototype
Server.prototype.listen = function (port, ...rest) {
  if (typeof port !== 'number') return listen.call(this, port, ...rest)
  const plain = String(port) === process.env.KINESIS_MOCK_PLAIN_PORT
  if (plain) this.once('listening', () => console.log(`listening on 127.0.0.1:${port}`))
  return listen.call(this, { port, host: '127.0.0.1' }, ...rest)
}
