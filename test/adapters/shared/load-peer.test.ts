import { describe, expect, it } from 'vitest'
import { loadPeer } from '../../../src/adapters/shared/load-peer.ts'
import { StreamError } from '../../../src/core/errors.ts'

const peer = { adapter: 'parrot', name: 'parrot-client', option: 'client' }

async function failure(load: () => Promise<unknown>): Promise<StreamError> {
  try {
    await loadPeer(peer, load)
  } catch (error) {
    if (StreamError.is(error)) return error
  }
  throw new Error('it did not reject with a StreamError')
}

describe('loading a vendor package', () => {
  it('names the package that is missing, and the option to hand it in', async () => {
    const missing = 'parrot-client'
    const error = await failure(() => import(missing))
    expect(error).toMatchObject({ code: 'peer-missing', retryable: false, adapter: 'parrot' })
    expect(error.message).toContain('npm install parrot-client')
    expect(error.message).toContain("option 'client'")
    expect(error.cause).toBeDefined()
  })

  it('does not say that it is missing when it is there and broken', async () => {
    const error = await failure(() => Promise.reject(new Error('libparrot.so: wrong architecture')))
    expect(error.code).toBe('peer-missing')
    expect(error.message).toContain('wrong architecture')
    expect(error.message).not.toContain('npm install')
    const inner = await failure(() =>
      Promise.reject(Object.assign(new Error("Cannot find package 'other'"), { code: 'ERR_MODULE_NOT_FOUND' }))
    )
    expect(inner.message).not.toContain('npm install')
  })

  it('gives the exports of a CommonJS package, and the module of an ES one', async () => {
    expect(await loadPeer(peer, async () => ({ default: { Parrot: 1 } }))).toEqual({ Parrot: 1 })
    expect(await loadPeer(peer, async () => ({ Parrot: 1 }))).toEqual({ Parrot: 1 })
  })
})
