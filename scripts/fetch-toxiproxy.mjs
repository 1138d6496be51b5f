// Builds the pinned toxiproxy with Go into the cache, before the suite that runs it, if it is not there.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const VERSION = '2.5.0';
const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');
const binary = join(cacheDir, `toxiproxy-${VERSION}`);

function build() {
  mkdirSync(cacheDir, { recursive: true });
  const directory = mkdtempSync(join(cacheDir, 'toxiproxy-build-'));
  try {
    const module = `github.com/Shopify/toxiproxy/v2/cmd/server@v${VERSION}`;
    execFileSync('go', ['install', module], { stdio: 'inherit', env: { ...process.env, GOBIN: directory } });
    renameSync(join(directory, 'server'), binary);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

try {
  if (!existsSync(binary)) build();
  console.log(`toxiproxy ${VERSION}: ${binary}`);
} catch (error) {
  console.error(`toxiproxy could not be built: ${error.message}`);
  console.error('It needs Go (apt-get install golang-go) and a Go module proxy.');
  process.exitCode = 1;
}
