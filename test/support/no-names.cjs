// Loaded into every process that the tests start: its name server knows this machine only, so that a webhook whose address
// belongs to somebody else reaches nobody.
const { promises } = require('node:dns');
const { isIP } = require('node:net');

const { lookup } = promises;
promises.lookup = async (hostname, ...options) => {
  if (hostname === 'localhost' || isIP(hostname) > 0) return lookup(hostname, ...options);
  throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' });
};
