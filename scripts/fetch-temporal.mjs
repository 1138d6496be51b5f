// Fetches the pinned Temporal executables before the tests, so that no suite's budget pays for a download.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { locateBinary, TEMPORAL_CLI, TEMPORAL_TEST_SERVER } from '../dist/temporal-binary.js';

const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');
const options = { cacheDir, searchPath: process.env.PATH ?? '', onProgress: (line) => console.log(line) };
// A server image needs no test server.
const specs = process.argv.includes('--server-only') ? [TEMPORAL_CLI] : [TEMPORAL_CLI, TEMPORAL_TEST_SERVER];
for (const spec of specs) {
  const { path, source } = await locateBinary(spec, options);
  console.log(`${spec.executable} ${spec.version}: ${path} (${source})`);
}
