// Builds the tests' Go programs into the cache: the pinned toxiproxy, and a receiver with the pinned Standard Webhooks library.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const TOXIPROXY_VERSION = '2.5.0';
const VERIFIER = 'test/schemathesis/verify-webhooks';
const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');

const TOOLS = [
  {
    binary: `toxiproxy-${TOXIPROXY_VERSION}`,
    isPinned: true,
    build(directory) {
      const module = `github.com/Shopify/toxiproxy/v2/cmd/server@v${TOXIPROXY_VERSION}`;
      go(['install', module], { env: { ...process.env, GOBIN: directory } });
      return 'server';
    },
  },
  {
    binary: 'verify-webhooks',
    // The sources are in this repository, and Go itself detects changes.
    isPinned: false,
    build(directory) {
      go(['build', '-trimpath', '-buildvcs=false', '-o', directory], { cwd: VERIFIER });
      return 'verify-webhooks';
    },
  },
];

const go = (args, options) => execFileSync('go', args, { stdio: 'inherit', ...options });

function make({ binary, build }) {
  mkdirSync(cacheDir, { recursive: true });
  const directory = mkdtempSync(join(cacheDir, 'go-build-'));
  try {
    renameSync(join(directory, build(directory)), join(cacheDir, binary));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

try {
  for (const tool of TOOLS) {
    if (!tool.isPinned || !existsSync(join(cacheDir, tool.binary))) make(tool);
    console.log(join(cacheDir, tool.binary));
  }
} catch (error) {
  console.error(`The tools in Go could not be built: ${error.message}`);
  console.error('They need Go 1.21 or newer (apt-get install golang-go) and a Go module proxy.');
  process.exitCode = 1;
}
