// Mints one token with each algorithm of each library and writes them to standard output as a JSON array of
// {library, version, algorithm, key: {format, value}, token}, the key being the public one or the secret.
//
// Usage: node mint.mjs CLAIMS, where CLAIMS is the JSON object to sign.

import { createRequire } from 'node:module'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import * as jose from 'jose'

const require = createRequire(import.meta.url)
const jsonwebtoken = require('jsonwebtoken')
const version = (name) => require('./node_modules/' + name + '/package.json').version

const claims = JSON.parse(process.argv[2])
const minted = []

// jose makes the keys itself, and writes them as JWKs.
for (const algorithm of ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']) {
  const { publicKey, privateKey } = await jose.generateKeyPair(algorithm, { extractable: true })
  const jwk = await jose.exportJWK(publicKey)
  const kid = await jose.calculateJwkThumbprint(jwk)
  const token = await new jose.SignJWT(claims).setProtectedHeader({ alg: algorithm, typ: 'JWT', kid }).sign(privateKey)
  const key = { format: 'JWK', value: JSON.stringify({ ...jwk, kid, alg: algorithm, use: 'sig' }) }
  minted.push({ library: 'jose', version: version('jose'), algorithm, key, token })
}
for (const [algorithm, bytes] of [['HS256', 32], ['HS384', 48], ['HS512', 64]]) {
  const secret = await jose.generateSecret(algorithm, { extractable: true })
  const jwk = await jose.exportJWK(secret)
  if (Buffer.from(jwk.k, 'base64url').length < bytes) throw new Error(algorithm + ': the secret is too short')
  const token = await new jose.SignJWT(claims).setProtectedHeader({ alg: algorithm }).sign(secret)
  minted.push({ library: 'jose', version: version('jose'), algorithm, key: { format: 'JWK', value: JSON.stringify(jwk) }, token })
}

// jsonwebtoken takes keys of node:crypto, whose public half is written as PEM, and secrets byte for byte.
const pairs = {
  RS: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ES512: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
}
for (const algorithm of ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512']) {
  const { publicKey, privateKey } = (pairs[algorithm] ?? pairs[algorithm.slice(0, 2)])()
  const token = jsonwebtoken.sign(claims, privateKey, { algorithm })
  const key = { format: 'PEM', value: publicKey.export({ type: 'spki', format: 'pem' }) }
  minted.push({ library: 'jsonwebtoken', version: version('jsonwebtoken'), algorithm, key, token })
}
for (const [algorithm, bytes] of [['HS256', 32], ['HS384', 48], ['HS512', 64]]) {
  const secret = randomBytes(bytes / 2).toString('hex')
  const token = jsonwebtoken.sign(claims, secret, { algorithm })
  minted.push({ library: 'jsonwebtoken', version: version('jsonwebtoken'), algorithm, key: { format: 'Octets', value: secret }, token })
}

process.stdout.write(JSON.stringify(minted))
